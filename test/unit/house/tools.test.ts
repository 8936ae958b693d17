import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'

const project = join(import.meta.dirname, '../../..')
const tsc = join(project, 'node_modules/typescript/bin/tsc')
const biome = join(project, 'node_modules/@biomejs/biome/bin/biome')

// tsc would leave Node.js's compile cache in the temporary directory.
const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' }

/** Through this very Node.js: the machine's own may be too old, and npm is not needed to run a tool. */
function run(tool: string, args: string[], cwd = project): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [tool, ...args], { cwd, env, maxBuffer: 16 * 2 ** 20 }, (error, stdout, stderr) => {
      resolve({
        status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1,
        output: stdout + stderr,
      })
    })
  })
}

function badSample(): string {
  const directory = mkdtempSync(join(tmpdir(), 'runwarden-house-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'bad.ts'), "var count: number = 'one'\ndebugger\nexport { count }\n")
  return directory
}

it('[house] the whole project type-checks', { timeout: 120_000 }, async () => {
  expect(await run(tsc, ['--noEmit'])).toEqual({ status: 0, output: '' })
})

it('[house] the whole project is clean for Biome', { timeout: 60_000 }, async () => {
  const { status, output } = await run(biome, ['check', '--colors=off', '--error-on-warnings', '.'])
  expect(output).toContain('Checked')
  expect(status, output).toBe(0)
})

it('both tools can fail', { timeout: 60_000 }, async () => {
  const directory = badSample()
  const types = await run(tsc, ['--noEmit', '--ignoreConfig', join(directory, 'bad.ts')])
  const style = await run(biome, ['check', '--colors=off', 'bad.ts'], directory)
  expect(types.status, types.output).not.toBe(0)
  expect(types.output).toContain('TS2322')
  expect(style.status, style.output).not.toBe(0)
})
