import { defineConfig } from 'vitest/config'

export default defineConfig({
  // As Node.js itself resolves: with Vite's `development` tests would get another copy of graphql than its users have.
  ssr: { resolve: { conditions: ['module', 'node'] } },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Vitest would leave a core free; tests of processes and sockets mostly wait.
    maxWorkers: '100%',
  },
})
