import { sectionsText } from './critical-section.ts'
import { duration } from './duration.ts'
import type { Actor, RecordedEvent } from './event.ts'
import { type FactBody, factBodySchema } from './host-link.ts'
import { outOfMemoryText } from './out-of-memory.ts'
import type { Receipt, RootExit } from './receipt.ts'
import { type RecordedRunEvent, type RunEventBody, readRunEvent } from './run-events.ts'
import type { Salvage } from './salvage.ts'

const summaryMax = 300

/**
 * An event in one line for people, at most 300 characters, without control characters. Of a command line only the
 * executable is shown: arguments may hold what nobody should read.
 * An event that is not known is named with its version; what is in it nobody can say.
 * @throws Error when the event's data does not fit its schema.
 */
export function summarise(event: RecordedEvent): string {
  const runEvent = readRunEvent(event)
  return oneLine(
    runEvent === undefined ? `${event.type} v${event.v}, which this Runwarden does not know` : describe(runEvent),
  )
}

function describe(event: RecordedRunEvent): string {
  switch (event.type) {
    case 'RunRequested':
      return requested(event)
    case 'RunStarted':
      return started(event)
    case 'RunAdopted':
      return `adopted: the host agent is back and supervises process ${event.data.root.pid} again`
    case 'SamplingInterrupted':
      return interrupted(event.data)
    case 'RunClassified':
      return `${event.data.verdict}, was ${event.data.previous}: ${event.data.explanation}`
    case 'PhaseChanged':
      return `phase: ${event.data.phase}`
    case 'TurnCompleted':
      return `turn ${event.data.turn} completed`
    case 'CriticalSectionEntered':
      return `in a critical section from here: ${sectionsText([event.data])}`
    case 'CriticalSectionExited':
      return event.data.cause === 'exited'
        ? `left the critical section ${event.data.id}`
        : `the process in the critical section ${event.data.id} is gone: it is over`
    case 'KillRequested':
      return killRequested(event)
    case 'KillDeferred':
      return `kill deferred until ${event.data.until} at the latest, for ${sectionsText(event.data.sections)}`
    case 'SigtermSent':
      return `SIGTERM sent to ${processes(event.data.processes)}${ofCause(event.data.cause)}`
    case 'SigkillSent':
      return `SIGKILL sent to ${processes(event.data.processes)}${ofCause(event.data.cause)}`
    case 'ProcessExited':
      return `root process ended ${exit(event.data)}`
    case 'RunKilled':
      return `killed: ${proof(event.data.receipt)}`
    case 'KillUnverified':
      return `kill not proven: ${obstacles(event.data.receipt)}`
    case 'RunCompleted':
      return `completed: ${proof(event.data.receipt)}`
    case 'RunFailed':
      return `${event.data.reason === 'LAUNCH_FAILED' ? 'could not be launched' : 'failed'}: ${event.data.message}`
    case 'RunLost':
      return `lost: how it ended nobody knows; ${proof(event.data.receipt)}`
    case 'RestartRequested':
      return `restart as ${event.data.newRunId} requested by ${person(event.metadata.actor)}${because(event.data.reason)}`
    case 'RunRestarted':
      return `restarted as ${event.data.newRunId}`
    case 'PauseRequested':
      return `pause requested by ${person(event.metadata.actor)}${because(event.data.reason)}`
    case 'ResumeRequested':
      return `resumption requested by ${person(event.metadata.actor)}${because(event.data.reason)}`
    case 'RunPaused':
      return `paused: ${processes(event.data.processes)} stopped${event.data.method === 'cgroup-freeze' ? ', the cgroup is frozen' : ' (SIGSTOP)'}`
    case 'RunResumed':
      return event.data.cause === 'kill'
        ? 'no longer paused: its processes can act on SIGTERM'
        : 'resumed: its processes go on'
    case 'ForceCompleteRequested':
      return `to be ended as ${event.data.outcome} by decision of ${person(event.metadata.actor)}${because(event.data.reason)}`
    case 'RunForceCompleted':
      return `ended as ${event.data.outcome} by decision: ${proof(event.data.receipt)}`
    case 'WorkspaceSalvaged':
      return salvaged(event.data)
    case 'CleanupStepCompleted':
      return `cleanup, ${event.data.step}: ${event.data.detail}`
    case 'CleanupStepFailed':
      return `cleanup, ${event.data.step} failed (attempt ${event.data.attempt}, ${event.data.willRetry ? 'will be tried again' : 'given up'}): ${event.data.error}`
    case 'RunCleaned':
      return event.data.failedSteps.length === 0
        ? 'cleaned up'
        : `cleaned up, except for ${event.data.failedSteps.join(', ')}`
    case 'LateResultObserved':
      return late(event)
    case 'TelemetrySummarised':
    case 'HeartbeatRecorded':
      return `${event.type === 'HeartbeatRecorded' ? 'heartbeat' : 'telemetry, all told'}: ${telemetry(event.data)}`
  }
}

function requested({ data, metadata }: Extract<RecordedRunEvent, { type: 'RunRequested' }>): string {
  const by = `by ${person(metadata.actor)}`
  if (data.registered !== null) return `${data.workflow} registered ${by}: process ${data.registered.root.pid}`
  const [executable, ...args] = data.launch?.command ?? []
  const version = data.workflowVersion === undefined ? '' : ` (version ${data.workflowVersion})`
  const instead = data.restartOf === undefined ? '' : ` in place of ${data.restartOf}`
  return `${data.workflow}${version} requested ${by}${instead}: ${executable} with ${count(args.length, 'argument')}`
}

function started({ data }: Extract<RecordedRunEvent, { type: 'RunStarted' }>): string {
  const where = data.workspacePath === null ? '' : ` in ${data.workspacePath}`
  return `started: process ${data.root.pid}${where}${data.attempt === 1 ? '' : `, at attempt ${data.attempt}`}`
}

function interrupted({ gapMs, cause }: Extract<RecordedRunEvent, { type: 'SamplingInterrupted' }>['data']): string {
  const gap = duration(Math.abs(gapMs))
  if (cause === 'clock-set') return `the clock was set ${gapMs < 0 ? 'back' : 'forward'} by ${gap}`
  const why =
    cause === 'suspended' ? 'the machine slept, or the host agent was stopped' : 'the host agent was not there'
  return `nobody looked for ${gap}: ${why}`
}

function salvaged({ patchBytes, files, leftOut, path }: Salvage): string {
  const changes = patchBytes === 0 ? 'no changes' : 'changes to tracked files'
  const left = leftOut.count === 0 ? '' : `, ${leftOut.count} left out`
  return `workspace salvaged: ${changes}, ${count(files, 'untracked file')}${left}; in ${path}`
}

function late(event: Extract<RecordedRunEvent, { type: 'LateResultObserved' }>): string {
  const fact = factBodySchema.safeParse({ type: event.data.fact, data: event.data.data })
  const what = fact.success ? describeFact(fact.data, event) : event.data.fact
  return `late, and changed nothing (the run was ${event.data.status}): ${what}`
}

function describeFact(fact: FactBody, { metadata }: RecordedRunEvent): string {
  switch (fact.type) {
    case 'LaunchFailed':
      return `could not be launched: ${fact.data.message}`
    case 'TreeGone':
      return proof(fact.data.receipt)
    case 'TreeNotProven':
      return `not proven to be gone: ${obstacles(fact.data.receipt)}`
    case 'EmergencyKillRequested':
      return `emergency kill requested by ${person(fact.data.requestedBy)}${because(fact.data.reason)}`
    default:
      return describe({ ...(fact satisfies RunEventBody), metadata } as RecordedRunEvent)
  }
}

function killRequested({ data, metadata }: Extract<RecordedRunEvent, { type: 'KillRequested' }>): string {
  const grace = data.kind === 'graceful' ? `, grace ${duration(data.graceMs)}` : ''
  return `${data.kind} kill requested by ${person(metadata.actor)}${grace}${because(data.reason)}`
}

function proof(receipt: Receipt): string {
  const { requestedAt, provenAt } = receipt.timings
  const took = provenAt === undefined ? '' : ` in ${duration(Date.parse(provenAt) - Date.parse(requestedAt))}`
  if (receipt.root === null) return `no process had been launched (${receipt.level})`
  return `proven dead${took}, ${processes(receipt.processCount)} seen (${receipt.level})`
}

function obstacles(receipt: Receipt): string {
  const alive = receipt.processes.filter((process) => process.goneAt === null && process.unreaped !== true)
  const failed = receipt.checks.filter((check) => check.passed === false)
  if (alive.length > 0) {
    const named = alive
      .slice(0, 5)
      .map(({ identity, state }) => `${identity.pid}${state === undefined ? '' : ` (${state})`}`)
    return `${count(alive.length, 'process', 'es')} alive: ${named.join(', ')}${alive.length > 5 ? ' …' : ''}`
  }
  return failed.map((check) => `${check.name}: ${check.detail}`).join('; ') || 'the deadline passed'
}

function telemetry(data: Extract<RecordedRunEvent, { type: 'HeartbeatRecorded' | 'TelemetrySummarised' }>['data']) {
  const parts = [
    'outOfMemory' in data && data.outOfMemory !== undefined && `out of memory: ${outOfMemoryText(data.outOfMemory)}`,
    data.progressPercent !== undefined && `${data.progressPercent} %`,
    data.processes !== undefined && processes(data.processes),
    data.cpuMs !== undefined && `${duration(data.cpuMs)} of CPU`,
    data.rssBytes !== undefined && `${mebibytes(data.rssBytes)} MiB resident`,
    data.openFiles !== undefined && count(data.openFiles, 'open file'),
    data.ioReadBytes !== undefined && `${mebibytes(data.ioReadBytes)} MiB read`,
    data.ioWriteBytes !== undefined && `${mebibytes(data.ioWriteBytes)} MiB written`,
    'peakProcesses' in data && `at most ${processes(data.peakProcesses ?? 0)}`,
    'peakRssBytes' in data && `at most ${mebibytes(data.peakRssBytes ?? 0)} MiB`,
    'peakOpenFiles' in data && `at most ${count(data.peakOpenFiles ?? 0, 'open file')}`,
    data.outputBytes !== undefined && `${data.outputBytes} bytes of output`,
    ...('notices' in data ? (data.notices ?? []).map((notice) => `${notice.code}: ${notice.detail}`) : []),
  ].filter((part) => part !== false)
  return parts.join(', ') || 'nothing new'
}

/** The monitor is nobody else than the monitor. */
const person = ({ kind, id }: Actor) => (kind === id ? kind : `${kind} ${id}`)
const because = (reason: string | null) => (reason === null ? '' : `: ${reason}`)
const exit = ({ status }: RootExit) =>
  status === null ? 'with a status that nobody recorded' : `with status ${status}${asAfterSignal(status)}`
/** A shell cannot tell `exit 143` from death by SIGTERM, so it is not claimed. */
const asAfterSignal = (status: number) => {
  const name = nameOfSignal[status - 128]
  return name === undefined ? '' : ` (as after ${name})`
}
const nameOfSignal: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  6: 'SIGABRT',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  15: 'SIGTERM',
}

const ofCause = (cause: 'kill' | 'leftovers') => (cause === 'leftovers' ? ' that outlived the root' : '')
const processes = (number: number) => count(number, 'process', 'es')
const count = (number: number, noun: string, plural = 's') => `${number} ${noun}${number === 1 ? '' : plural}`
const mebibytes = (bytes: number) => Math.round(bytes / 1024 / 1024)

function oneLine(text: string): string {
  const line = text.replace(/[\s\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
  if (line.length <= summaryMax) return line
  // Half a surrogate pair at the cut would be no character at all.
  return `${line.slice(0, summaryMax - 1).replace(/[\ud800-\udbff]$/, '')}…`
}
