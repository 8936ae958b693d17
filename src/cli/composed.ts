import type { EmergencyKillAnswer } from './answers.ts'

/** Settings of `up` that win over the environment; undefined: as configured. */
export type UpOptions = {
  port?: number
  address?: string
  /** Runs that live at the same time. */
  capacity?: number
  /** Take the data directory over from an owner that cannot be asked, such as one in another network namespace. */
  takeOver: boolean
}

/** `stopped`: it ran, and was stopped in order. `refused`: it never served; nothing was changed. */
export type UpResult =
  | { type: 'stopped' }
  | {
      type: 'refused'
      /** `usage`: bad configuration. `conflict`: port or data directory in use. `unavailable`: something needed is away. */
      reason: 'usage' | 'conflict' | 'unavailable' | 'failure'
      message: string
      wayOut?: string
    }

export type DownOptions = { timeoutMs: number }

export type DownResult =
  | { type: 'stopped'; pid: number }
  | { type: 'not-running'; detail: string }
  /** It was asked to stop and still runs; it may yet stop. */
  | { type: 'timeout'; pid: number; message: string }
  /** Nothing was signalled: the owner is not this user's, or is in another namespace. */
  | { type: 'refused'; message: string; wayOut?: string }

export type LocalKillOptions = {
  runId: string
  reason: string | null
  idempotencyKey: string | undefined
  /** Wait for the cleanup too; else for the proof only. */
  cleaned: boolean
  timeoutMs: number
  /** Ends the wait. Nobody goes on with the kill then but the next server. */
  signal: AbortSignal
}

export type LocalKillResult =
  | { type: 'answer'; answer: EmergencyKillAnswer }
  /** A server has come up meanwhile: it is to be asked. */
  | { type: 'served' }
  /** Nothing was signalled. `unavailable`: a server holds the data directory. */
  | { type: 'refused'; reason: 'denied' | 'not-found' | 'unavailable'; message: string; wayOut?: string }

/** One thing that was looked at. */
export type DoctorCheck = {
  name: string
  status: 'ok' | 'warn' | 'fail'
  detail: string
  /** What to do about it. */
  wayOut?: string
}

/** The commands that need more than a GraphQL client: main.ts composes them from the other rooms. */
export interface Composed {
  /** Serves until SIGTERM or SIGINT, or until it is refused. It may write its log to the process's own stdout. */
  up(options: UpOptions): Promise<UpResult>
  /** Stops the server that owns this user's data directory. Runs go on, and are adopted by the next `up`. */
  down(options: DownOptions): Promise<DownResult>
  /** Kills one run of this user's data directory without a server, which must not be running. */
  killLocally(options: LocalKillOptions): Promise<LocalKillResult>
  /** Looks at this machine; starts nothing that stays, signals nothing. */
  doctor(): Promise<DoctorCheck[]>
}
