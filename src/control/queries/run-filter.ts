import type { RunStatus } from '../../domain/run-state.ts'

/** Which runs. All conditions must hold; one that is left out always does. */
export type RunFilter = {
  status?: RunStatus[]
  workflow?: string
  live?: boolean
  canary?: boolean
  /** It has all of these. */
  labels?: Record<string, string>
  /** How its id begins, such as `run_01ab`. */
  idPrefix?: string
}
