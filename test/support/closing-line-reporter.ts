import type { Reporter, TestModule, TestRunEndReason } from 'vitest/node'

/** Ends the output with one plain line that tools and people can read without colours: `N passed, N failed, N skipped`. */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[], reason: TestRunEndReason): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const count = (state: string) => tests.filter((test) => test.result().state === state).length
    // A file that could not be loaded has no tests, yet it failed.
    const brokenModules = modules.filter((module) => module.errors().length > 0).length
    const failed = count('failed') + brokenModules + unhandledErrors.length
    const skipped = count('skipped') + (reason === 'interrupted' ? count('pending') : 0)
    const line = (all: number) => `${count('passed')} passed, ${all} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
    // After vitest's own summary, which is written when this hook has returned. What failed later still, such as the
    // search for leaks, shows only in the exit status.
    process.once('exit', (code) => process.stdout.write(`${line(code === 0 ? failed : Math.max(1, failed))}\n`))
  }
}
