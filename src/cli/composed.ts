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

/** How far a move is; `total` where it is known. */
export type MoveProgress = { phase: 'export' | 'check' | 'import' | 'compare'; events: number; total?: number }

export type MoveRefusal =
  | { type: 'interrupted' }
  | {
      type: 'refused'
      /** `conflict`: something is in the way. `failure`: the file is damaged, or the disk is full. */
      reason: 'usage' | 'not-found' | 'conflict' | 'unavailable' | 'failure'
      message: string
      wayOut?: string
    }

type MoveOptions = {
  /** Ends the work; what an import has brought by then stays, and is not served. */
  signal: AbortSignal
  /** Called often. */
  progress(progress: MoveProgress): void
}

export type ExportOptions = MoveOptions & {
  /** Absolute path; undefined: to stdout. */
  file: string | undefined
  /** Replace a file of this name. */
  overwrite: boolean
}

export type ExportResult =
  | MoveRefusal
  | {
      type: 'exported'
      /** null: stdout. */
      file: string | null
      events: number
      /** On the disk; null: nobody knows. */
      bytes: number | null
      sha256: string
      storeId: string
      /** No server ran: the data directory's runs can go on with the store that this is brought to. */
      isFinal: boolean
    }

export type ImportOptions = MoveOptions & {
  /** Absolute path. */
  file: string
  /** Let the runs of this data directory go on with what the file has, although they have gone on since. */
  rebind: boolean
}

export type ImportResult =
  | MoveRefusal
  | {
      type: 'imported'
      events: number
      sha256: string
      storeId: string
      /** The store that it came from. */
      from: string
      /** Nothing was left to do but perhaps the binding. */
      wasThere: boolean
      /** The data directory belongs to this store now. */
      rebound: boolean
    }

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
  /** Writes the whole history to a file, beside a server or without one. */
  exportHistory(options: ExportOptions): Promise<ExportResult>
  /** Brings a history into an empty store, without a server. */
  importHistory(options: ImportOptions): Promise<ImportResult>
  /** Looks at this machine; starts nothing that stays, signals nothing. */
  doctor(): Promise<DoctorCheck[]>
}
