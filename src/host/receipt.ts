import { readFileSync } from 'node:fs'
import type { RunId } from '../domain/ids.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import type {
  Membership,
  ProofLevel,
  Receipt,
  ReceiptCheck,
  ReceiptProcess,
  RootExit,
  SignalName,
} from '../domain/receipt.ts'
import { redactCommand } from '../domain/redact.ts'
import type { Member } from './membership.ts'
import { entryKey, identityOfEntry, type ProcessEntry } from './process-table.ts'

const processesMax = 1000
const signalsMax = 100

type Seen = { record: ReceiptProcess; foundBy: Set<Membership> }

/** Who was met since a kill began, and what became of them. */
export class ReceiptBook {
  readonly #known = new Map<string, Seen>()
  #uncounted = 0
  emptyAt: string | undefined

  /** Takes in what one look at the tree showed: newcomers, the dead, and those who are gone. */
  observe(members: Map<number, Member>, at: string): void {
    for (const { entry, foundBy } of members.values()) this.#meet(entry, foundBy, at)
    for (const { record } of this.#known.values()) {
      const now = members.get(record.identity.pid)?.entry
      const isSame = now !== undefined && now.startTime === record.identity.startTime
      if (!(isSame && now.alive)) record.goneAt ??= at
      if (isSame && !now.alive) record.unreaped = true
      if (!isSame) delete record.unreaped
    }
    const someoneLives = [...this.#known.values()].some(({ record }) => record.goneAt === null)
    this.emptyAt = someoneLives ? undefined : (this.emptyAt ?? at)
  }

  #meet(entry: ProcessEntry, foundBy: Set<Membership>, at: string): void {
    const key = entryKey(entry)
    const known = this.#known.get(key)
    if (known !== undefined) {
      for (const by of foundBy) known.foundBy.add(by)
      return
    }
    // The dead of the time before the kill are listed too: an unreaped zombie is shown, not hidden.
    if (this.#known.size >= processesMax) {
      this.#uncounted += 1
      return
    }
    const record: ReceiptProcess = {
      identity: identityOfEntry(entry),
      command: commandOf(entry),
      foundBy: [],
      signals: [],
      goneAt: entry.alive ? null : at,
    }
    this.#known.set(key, { record, foundBy: new Set(foundBy) })
  }

  /** Goes on with what was journalled before a crash. */
  restore(processes: readonly ReceiptProcess[]): void {
    for (const record of processes) {
      this.#known.set(entryKey(record.identity), { record: { ...record }, foundBy: new Set(record.foundBy) })
    }
  }

  signalled(entry: Pick<ProcessEntry, 'pid' | 'startTime'>, signal: SignalName, at: string): void {
    const signals = this.#known.get(entryKey(entry))?.record.signals
    if (signals === undefined) return
    // Who cannot die is struck every 30 s for as long as it takes: of so many only the last one says something.
    if (signals.length >= signalsMax) signals.pop()
    signals.push({ signal, at })
  }

  /** Those not yet seen to be gone. */
  living(): ProcessIdentity[] {
    return [...this.#known.values()].flatMap(({ record }) => (record.goneAt === null ? record.identity : []))
  }

  processes(): ReceiptProcess[] {
    return this.met().map((process) =>
      process.goneAt === null ? { ...process, ...whereItStands(process.identity.pid) } : process,
    )
  }

  /** The same without where those stand who are not gone: 50 of them take two milliseconds. */
  met(): ReceiptProcess[] {
    return [...this.#known.values()].map(({ record, foundBy }) => ({ ...record, foundBy: [...foundBy] }))
  }

  get count(): number {
    return this.#known.size + this.#uncounted
  }
}

/** State letter and kernel wait channel of a survivor, as far as this account may read them. */
function whereItStands(pid: number): Pick<ReceiptProcess, 'state' | 'wchan'> {
  const state = /^State:\s+(\S)/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1]
  const wchan = readOrEmpty(`/proc/${pid}/wchan`)
  return { ...(state === undefined ? {} : { state }), ...(wchan === '' || wchan === '0' ? {} : { wchan }) }
}

function commandOf(entry: ProcessEntry): string {
  const argv = readOrEmpty(`/proc/${entry.pid}/cmdline`)
  return argv === '' ? `[${entry.comm}]` : redactCommand(argv.replace(/\0$/, '').split('\0'))
}

/** Details for people: a process that went, or that is another account's, has none. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

export type Look = {
  /** The last look at the tree. */
  members: Map<number, Member>
  conclusive: boolean
  /** null: the run has no cgroup. */
  cgroupEmpty: boolean | null
  /** False: this host lives in another pid namespace than the run, and sees nothing of it. */
  visible: boolean
  /** Why there was none: `members` are those of the run's known processes that live. */
  failure?: Error
}

const checkedBy: [name: string, what: string, by: Membership[]][] = [
  ['no-known-identity-alive', 'process known by its identity', ['root', 'seen']],
  ['no-descendant', 'descendant', ['descent']],
  ['no-session-member', 'member of the run’s sessions and groups', ['session', 'group']],
  ['no-marker', 'process that bears the run’s marker', ['marker']],
]

export function checksOf({ members, conclusive, cgroupEmpty, visible, failure }: Look): ReceiptCheck[] {
  const alive = [...members.values()].filter(({ entry }) => entry.alive)
  const byMembership = checkedBy.map(([name, what, by]): ReceiptCheck => {
    const found = alive.filter(({ foundBy }) => by.some((how) => foundBy.has(how)))
    const pids = found.slice(0, 10).map(({ entry }) => entry.pid)
    return {
      name,
      passed: !visible ? null : found.length === 0,
      detail: found.length === 0 ? `no ${what} is alive` : `alive: ${found.length} (pid ${pids.join(', ')})`,
    }
  })
  const cgroup =
    cgroupEmpty === null ? 'the run has no cgroup' : cgroupEmpty ? 'the kernel says populated 0' : 'populated 1'
  const scan = scanText({ conclusive, visible, failure })
  return [
    { name: 'cgroup-empty', passed: cgroupEmpty, detail: cgroup },
    ...byMembership,
    { name: 'scan-conclusive', passed: visible && conclusive, detail: scan },
  ]
}

function scanText({
  conclusive,
  visible,
  failure,
}: Pick<Look, 'conclusive' | 'visible'> & { failure: Look['failure'] }) {
  if (!visible) return 'the run lives in another pid namespace'
  if (failure !== undefined) return `the tree could not be looked at: ${failure.message}`.slice(0, 500)
  return conclusive ? 'every process that was listed or born meanwhile could be read' : 'a process came or went unread'
}

const notCoveredEver = [
  'what the run had another service start for it (a container engine, systemd, cron): such processes are outside of any tree',
]
const strayed = 'cleared its environment, left its session and lost its parent before it was ever seen'
const notCoveredBy: Record<ProofLevel, string> = {
  'cgroup-v2': `a process that moved itself to another cgroup, which takes the rights of Runwarden’s own account, and ${strayed}`,
  'process-scan': `a process that ${strayed}`,
}

export type ReceiptOptions = {
  runId: RunId
  proven: boolean
  level: ProofLevel
  root: ProcessIdentity | null
  rootExit: RootExit | null
  book: ReceiptBook
  checks: ReceiptCheck[]
  timings: Receipt['timings']
  deferral?: NonNullable<Receipt['deferral']>
}

export function receiptOf({ book, timings, ...rest }: ReceiptOptions): Receipt {
  return {
    ...rest,
    processes: book.processes(),
    processCount: book.count,
    timings: { ...timings, ...(book.emptyAt === undefined ? {} : { emptyAt: book.emptyAt }) },
    notCovered: [...notCoveredEver, notCoveredBy[rest.level]],
  }
}

/** Of a run that was killed while it waited: there is nothing to prove but that no process was ever made. */
export function neverLaunchedReceipt(runId: RunId, level: ProofLevel, requestedAt: string, provenAt: string): Receipt {
  return receiptOf({
    ...{ runId, proven: true, level, root: null, rootExit: null, book: new ReceiptBook() },
    checks: [{ name: 'never-launched', passed: true, detail: 'no process was ever launched, and none will be' }],
    timings: { requestedAt, provenAt },
  })
}
