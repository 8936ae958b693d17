import type { DesiredRun } from '../domain/host-link.ts'
import type { HostId, RunId } from '../domain/ids.ts'
import type { Clock, Log } from './clock.ts'
import type { FactLogOptions } from './fact-log.ts'
import type { LimitingHost } from './limit-plan.ts'
import type { Looking } from './looks.ts'
import type { ProcessTable } from './process-table.ts'
import { runPaths } from './run-directory.ts'
import type { Slots } from './slots.ts'
import type { Owners, TreeOptions } from './tree.ts'

/** What all runs of a host share. */
export type RunContext = {
  hostId: HostId
  hostDirectory: string
  /** Of the shims, and of the runs beside it; null: this host uses no cgroups. */
  cgroups: { base: string; shims: string } | null
  limiting: LimitingHost
  slots: Slots
  owners: Owners
  surroundings: TreeOptions['surroundings']
  readTable(): Promise<ProcessTable>
  forbiddenAccounts: readonly string[]
  /** On the runs' PATH, behind everything else; undefined: nothing of ours is. */
  commands: string | undefined
  /** LANG, TZ and secrets are taken from here. */
  environment: NodeJS.ProcessEnv
  heartbeatMaxIntervalMs: number
  looking: Looking
  outputCapBytes: number
  /** Of the untracked files that are kept of a workspace, and of the changes to the tracked ones. */
  salvageMaxBytes: number
  isBeingCleaned: (runId: RunId) => boolean
  clock: Clock
  log: Log
  /** Ends supervision; runs live on. */
  signal: AbortSignal
  onFact: FactLogOptions['onFact']
  crashPoint: (name: string) => void
}

/** Of the journal that keeps a run's facts. */
export function factLogOptions(
  { runId, factSequence }: Pick<DesiredRun, 'runId' | 'factSequence'>,
  { hostId, hostDirectory, clock, crashPoint, onFact }: RunContext,
): FactLogOptions {
  const { facts: path, acknowledged: acknowledgedPath } = runPaths(hostDirectory, runId)
  return { hostId, runId, path, acknowledgedPath, factSequence, clock, crashPoint, onFact }
}
