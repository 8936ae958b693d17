import type { RunNotFound } from './control.ts'

export const notFound = (runId: string): RunNotFound => ({
  type: 'RunNotFound',
  message: `There is no run ${JSON.stringify(runId.slice(0, 200))}. "runwarden ls --all" lists the runs there are.`,
  runId: runId.slice(0, 200),
})
