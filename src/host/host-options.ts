import type { HostId } from '../domain/ids.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import type { Clock, Log } from './clock.ts'
import type { DiskPlace } from './disk-watch.ts'
import type { SteadyClocks } from './looks.ts'
import type { Retention } from './workspace/retention.ts'

export type HostOptions = {
  /** `<data directory>/host`. One host at a time. */
  hostDirectory: string
  /** Given to a new directory only; otherwise one is made up. */
  hostId?: HostId
  /** Runs that may live at the same time. */
  capacity: number
  clock?: Clock
  /** Those that nobody sets; injected together with the clock. */
  steady?: SteadyClocks
  log: Log
  sampleIntervalMs?: number
  heartbeatMaxIntervalMs?: number
  outputCapBytes?: number
  salvageMaxBytes?: number
  /** Of what runs leave behind; without it all is kept. */
  retention?: Retention
  /** Where it is looked how much room is left. */
  diskPlaces?: readonly DiskPlace[]
  cgroups?: 'auto' | 'off'
  /** The command line of this Runwarden, which runs then find as `runwarden`. */
  cli?: readonly string[]
  /** Runwarden itself, its database server: never signalled, never registered. */
  protectedProcesses?: () => ProcessIdentity[]
  /** No run may have these accounts: they own Runwarden's database. */
  forbiddenAccounts?: readonly string[]
  /** Where LANG, TZ and `secretEnv` come from. */
  environment?: NodeJS.ProcessEnv
  /** Ends supervision, as `close` does. */
  signal?: AbortSignal
  /** Tests end the process at a point of this name. */
  crashPoint?: (name: string) => void
}
