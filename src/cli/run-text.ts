import type { RunStatus } from '../domain/run-state.ts'
import type { Actor, Alert, RestartLinks, RunDetails, RunRow } from './answers.ts'
import { formatDuration } from './durations.ts'
import { limitsText } from './limits-text.ts'
import { policyText } from './policy-text.ts'
import { printable } from './printable.ts'
import { receiptLines } from './receipt-text.ts'
import type { Screen, Style } from './screen.ts'
import type { Cell } from './table.ts'
import { salvageText, workspaceKindText } from './workspace-text.ts'

const styleOfStatus: Record<RunStatus, Style> = {
  REQUESTED: 'cyan',
  RUNNING: 'green',
  PAUSED: 'yellow',
  KILLING: 'yellow',
  KILLED: 'dim',
  KILL_UNVERIFIED: ['red', 'bold'],
  COMPLETED: 'dim',
  FAILED: 'red',
  LOST: 'red',
}
const styleOfVerdict: Record<RunRow['verdict']['verdict'], Style> = {
  NORMAL: 'dim',
  SLOW: 'yellow',
  STUCK: ['red', 'bold'],
}

export const statusCell = ({ status }: RunRow): Cell => ({ text: status, style: styleOfStatus[status] })
export const verdictCell = ({ verdict: { verdict } }: RunRow): Cell => ({
  text: verdict,
  style: styleOfVerdict[verdict],
})

export const isEnded = ({ endedAt }: Pick<RunRow, 'endedAt'>) => endedAt !== null

/** From its start (or the request, while it waits) until its end, or until now. In milliseconds. */
export function ageMs(run: RunRow, nowMs: number): number {
  return (run.endedAt === null ? nowMs : Date.parse(run.endedAt)) - Date.parse(run.startedAt ?? run.requestedAt)
}

/** How long it has lived so far; of one that has ended, how long it did. */
export function ageText(run: RunRow, nowMs: number): string {
  if (!isEnded(run)) return formatDuration(ageMs(run, nowMs))
  return run.startedAt === null ? 'never ran' : `ran ${formatDuration(ageMs(run, nowMs))}`
}

/** The monitor is nobody else than the monitor. */
export const actorText = ({ kind, id }: Actor) =>
  kind.toLowerCase() === id ? id : `${kind.toLowerCase()} ${printable(id)}`

/** What came of a run, in a few words. */
export function outcomeOf(run: RunDetails): string {
  const status = run.rootExit?.status
  const exit = status == null ? '' : ` (exit status ${status})`
  if (run.failure !== null) return `FAILED${exit}: ${printable(run.failure.message)}`
  return `${run.status}${exit}`
}

/** A run for a person who has ten seconds: what it is, how it is, what is wrong, and where its proof stands. */
export function runLines(
  run: RunDetails,
  nowMs: number,
  screen: Screen,
  options: { receipt: boolean; alerts?: Alert[] },
): string[] {
  return [
    headline(run, nowMs, screen),
    ...facts(run, nowMs).map(([name, value]) => `  ${screen.paint('dim', name.padEnd(12))} ${value}`),
    ...(options.alerts ?? []).map(
      ({ kind, severity, message }) =>
        `  ${screen.paint(severity === 'CRITICAL' ? 'red' : 'yellow', 'alert')}        ${printable(`${kind}: ${message}`)}`,
    ),
    ...run.notices.map(
      (notice) => `  ${screen.paint('yellow', 'notice')}       ${printable(`${notice.code}: ${notice.detail}`)}`,
    ),
    ...(options.receipt && run.receipt !== null ? ['', ...receiptLines(run.receipt.json, screen)] : []),
  ]
}

/** What it is, and how long it has lived. */
export function headline(run: RunRow, nowMs: number, screen: Screen): string {
  const when = isEnded(run)
    ? `after ${formatDuration(ageMs(run, nowMs))}, ${formatDuration(nowMs - Date.parse(run.endedAt ?? ''))} ago`
    : `for ${formatDuration(ageMs(run, nowMs))}`
  const status = screen.paint(styleOfStatus[run.status], run.status)
  const phase = run.killPhase === 'NONE' || run.killPhase === 'DONE' ? '' : ` (${killPhaseText(run)})`
  return `${run.id}  ${screen.paint('bold', printable(run.workflow))}  ${status}${phase} ${when}`
}

/** Such as `DEFERRED until 03:12:40`; in UTC. */
export function killPhaseText({ killPhase, kill }: RunRow): string {
  if (killPhase !== 'DEFERRED' || kill?.deferral == null) return killPhase
  return `${killPhase} until ${kill.deferral.until.slice(11, 19)}`
}

type Fact = [name: string, value: string]

export function linkFacts({ restartOf, restart, restartedAs }: RestartLinks): Fact[] {
  const links: Fact[] = []
  if (restartOf !== null) links.push(['in place of', `${restartOf.id} (${restartOf.status})`])
  if (restartedAs !== null) links.push(['restarted as', `${restartedAs.id} (${restartedAs.status})`])
  else if (restart !== null) links.push(['restart as', `${restart.newRunId}, once this one is proven dead`])
  return links
}

function facts(run: RunDetails, nowMs: number): Fact[] {
  const all: [string, string | null][] = [
    ['verdict', verdict(run)],
    ['evidence', run.verdict.verdict === 'NORMAL' ? null : evidence(run)],
    ['progress', progress(run)],
    ['failure', run.failure === null ? null : printable(run.failure.message)],
    ['root exit', run.rootExit === null ? null : exitStatus(run.rootExit.status)],
    ['memory', run.outOfMemory === null ? null : `out of memory: ${printable(run.outOfMemory.message)}`],
    ['kill', kill(run)],
    ['pause', pause(run, nowMs)],
    ['safe to kill', isEnded(run) ? null : safeToKill(run)],
    ...linkFacts(run),
    ['last output', run.lastOutput === null ? null : printable(run.lastOutput)],
    [
      'definition',
      run.workflowVersion === null ? null : `version ${run.workflowVersion} of ${printable(run.workflow)}`,
    ],
    ['command', run.command === null ? null : printable(run.command.join(' '))],
    ['workspace', run.workspacePath === null ? null : printable(run.workspacePath)],
    ['worktree', run.workspace?.repository == null ? null : printable(workspaceKindText(run.workspace))],
    ['process', run.pid === null ? null : `pid ${run.pid} on ${run.host}${resources(run)}`],
    ['usage', usage(run)],
    [
      'heartbeat',
      run.lastHeartbeatAt === null ? null : `${formatDuration(nowMs - Date.parse(run.lastHeartbeatAt))} ago`,
    ],
    ['policy', policyText(run.policy)],
    ['limits', limitsText(run.limits)],
    ['labels', run.labels.map(({ name, value }) => printable(`${name}=${value}`)).join(' ') || null],
    ['requested', `${run.requestedAt} by ${actorText(run.requestedBy)}`],
    ['cleanup', cleanup(run)],
    ['salvaged', run.salvage === null ? null : salvageText(run.salvage)],
    ['late results', run.lateResults === 0 ? null : String(run.lateResults)],
    ['revision', String(run.revision)],
  ]
  return all.filter((fact): fact is Fact => fact[1] !== null)
}

const verdict = ({ verdict }: RunDetails) => `${verdict.verdict}: ${printable(verdict.explanation)}`

const evidence = ({ verdict }: RunDetails) =>
  verdict.evidence.map(({ fact, value }) => printable(`${fact} ${value}`)).join(', ') || null

function progress(run: RunDetails): string {
  const percent = run.progressPercent === null ? '' : `, ${run.progressPercent} %`
  const cache = run.cacheReadRatio === null ? '' : `, cache reads ${(run.cacheReadRatio * 100).toFixed(1)} %`
  return `${printable(run.phase ?? 'no phase')}, ${run.turns} ${run.turns === 1 ? 'turn' : 'turns'}${percent}${cache}`
}

const exitStatus = (status: number | null) =>
  status === null ? 'nobody recorded its status' : `${status}${status > 128 ? ` (signal ${status - 128})` : ''}`

function kill({ kill }: RunDetails): string | null {
  if (kill === null) return null
  const reason = kill.reason === null ? '' : `: ${printable(kill.reason)}`
  return `${kill.kind.toLowerCase()}, ${kill.requestedAt} by ${actorText(kill.requestedBy)}${reason}`
}

/** What is wanted, by whom, and whether it is so. */
function pause({ status, pause, pausedMs, endedAt }: RunDetails, nowMs: number): string | null {
  if (pause === null) return null
  const all = pausedMs === 0 ? '' : `, ${formatDuration(pausedMs)} in all`
  if (endedAt !== null || (!pause.paused && pause.wentOnAt !== null)) return `over${all}`
  const by = `${actorText(pause.requestedBy)}${pause.reason === null ? '' : `: ${printable(pause.reason)}`}`
  if (status !== 'PAUSED' || !pause.paused) {
    return `${pause.paused ? 'it is being stopped' : 'it is about to go on'}, as asked ${pause.requestedAt} by ${by}`
  }
  const thisOne = nowMs - Date.parse(pause.stoppedAt ?? pause.requestedAt)
  return `for ${formatDuration(thisOne)}${pausedMs - thisOne > 1_000 ? all : ''}, by ${by}`
}
const safeToKill = ({ safeToKill: { safe, message } }: RunDetails) => `${safe ? 'yes' : 'no'}: ${printable(message)}`

/** All told, and at most. */
function usage({ cpuMs, peakRssBytes, peakProcesses, peakOpenFiles, ioReadBytes, ioWriteBytes }: RunDetails) {
  const parts = [
    cpuMs === null ? null : `CPU ${formatDuration(cpuMs)}`,
    ioReadBytes === null ? null : `read ${mebibytes(ioReadBytes)}`,
    ioWriteBytes === null ? null : `wrote ${mebibytes(ioWriteBytes)}`,
    peakProcesses === null ? null : `at most ${processesText(peakProcesses)}`,
    peakRssBytes === null ? null : `at most ${mebibytes(peakRssBytes)}`,
    peakOpenFiles === null ? null : `at most ${peakOpenFiles} open files`,
  ].filter((part) => part !== null)
  return parts.join(', ') || null
}

const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
const processesText = (number: number) => `${number} ${number === 1 ? 'process' : 'processes'}`

function resources({ processes, rssBytes, openFiles }: RunDetails): string {
  const parts = [
    processes === null ? null : processesText(processes),
    rssBytes === null ? null : mebibytes(rssBytes),
    openFiles === null ? null : `${openFiles} open files`,
  ].filter((part) => part !== null)
  return parts.length === 0 ? '' : `, ${parts.join(', ')}`
}

function cleanup({ cleanup: { status, steps } }: RunDetails): string | null {
  if (status === 'NONE') return null
  const failed = steps.filter((step) => step.status === 'FAILED')
  const detail = failed.map((step) => ` · ${printable(`${step.step} failed: ${step.detail}`)}`).join('')
  return `${status}, ${steps.length} ${steps.length === 1 ? 'step' : 'steps'}${detail}`
}
