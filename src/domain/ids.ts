import { z } from 'zod'

/** `run_` and 12 lower-case hex digits. Never reused: a restart makes a new run. */
export const runIdSchema = z
  .string()
  .regex(/^run_[0-9a-f]{12}$/, 'a run id is "run_" and 12 lower-case hex digits, such as run_0123456789ab')
export type RunId = z.infer<typeof runIdSchema>

/** `host_` and 12 lower-case hex digits; made once per data directory. */
export const hostIdSchema = z.string().regex(/^host_[0-9a-f]{12}$/)
export type HostId = z.infer<typeof hostIdSchema>

const hexOf = (runId: RunId) => runId.slice('run_'.length)

/** The run's lifecycle, kept for ever. */
export const runStream = (runId: RunId) => `run-${hexOf(runId)}`

/** The run's heartbeats, under retention. */
export const telemetryStream = (runId: RunId) => `telemetry-${hexOf(runId)}`

/** Attempts on one run; attempts that name no run (or no well-formed one) share `audit-none`. */
export const auditStream = (runId: RunId | undefined) => `audit-${runId === undefined ? 'none' : hexOf(runId)}`

export const hostStream = (hostId: HostId) => `host-${hostId.slice('host_'.length)}`

/** The run that a `run-…`, `telemetry-…` or `audit-…` stream belongs to. */
export function runOfStream(stream: string): RunId | undefined {
  const hex = /^(?:run|telemetry|audit)-([0-9a-f]{12})$/.exec(stream)?.[1]
  return hex === undefined ? undefined : `run_${hex}`
}
