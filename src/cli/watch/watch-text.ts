import type { RunRow } from '../answers.ts'
import { formatDuration } from '../durations.ts'
import { cut, printable } from '../printable.ts'
import { ageText, isEnded, killPhaseText, statusCell, verdictCell } from '../run-text.ts'
import type { Screen } from '../screen.ts'
import { type Cell, tableLines } from '../table.ts'

export type Frame = {
  nowMs: number
  /** Of the terminal. */
  columns: number
  rows: number
  /** Such as that the connection is lost; null: all is well. */
  notice: string | null
}

/** What fills the terminal: a line about all, the table, and how much of it there was no room for. */
export function frameLines(runs: RunRow[], frame: Frame, paint: Screen['paint']): string[] {
  const { columns, rows, nowMs, notice } = frame
  const head = [title(runs, paint), ...(notice === null ? [] : [paint(['yellow', 'bold'], cut(notice, columns))])]
  const [titles = '', ...lines] = tableOf(runs, nowMs, columns, paint)
  if (runs.length === 0) {
    return [...head, ...(notice === null ? [paint('dim', 'No run is alive or waiting.')] : [])].slice(0, rows)
  }
  const room = rows - head.length - 1
  if (lines.length <= room) return [...head, titles, ...lines]
  const shown = Math.max(0, room - 1)
  return [...head, titles, ...lines.slice(0, shown), paint('dim', `… and ${lines.length - shown} more`)].slice(0, rows)
}

function title(runs: RunRow[], paint: Screen['paint']): string {
  const live = runs.filter((run) => !isEnded(run))
  const count = (verdict: string) => live.filter((run) => run.verdict.verdict === verdict).length
  const unverified = live.filter(({ status }) => status === 'KILL_UNVERIFIED').length
  const bad = [
    ...(unverified === 0 ? [] : [`${unverified} KILL_UNVERIFIED`]),
    ...(['STUCK', 'SLOW'] as const)
      .filter((verdict) => count(verdict) > 0)
      .map((verdict) => `${count(verdict)} ${verdict}`),
  ]
  return `${paint('bold', [`${live.length} live`, ...bad].join(', '))}  ${paint('dim', 'q ends the watch, not the runs')}`
}

type ColumnOfRuns = { title: string; align?: 'right'; cell: (run: RunRow, nowMs: number) => Cell }

const table: ColumnOfRuns[] = [
  { title: 'RUN', cell: ({ id }) => id },
  { title: 'WORKFLOW', cell: ({ workflow }) => cut(printable(workflow), 24) },
  { title: 'STATUS', cell: (run) => withKillPhase(run) },
  { title: 'VERDICT', cell: verdictCell },
  { title: 'PHASE', cell: ({ phase }) => cut(printable(phase ?? ''), 20) },
  { title: 'TURNS', align: 'right', cell: ({ turns }) => String(turns) },
  { title: 'AGE', align: 'right', cell: ageText },
  { title: 'HEARTBEAT', align: 'right', cell: heartbeat },
  { title: 'LAST OUTPUT', cell: ({ lastOutput }) => printable(lastOutput ?? '') },
]

/** What a narrow terminal can do without, first to last. */
const dispensable = ['HEARTBEAT', 'PHASE', 'WORKFLOW', 'LAST OUTPUT', 'TURNS']

/** As many columns as fit, so that no line is wider than the terminal. */
export function tableOf(runs: RunRow[], nowMs: number, columns: number | undefined, paint: Screen['paint']): string[] {
  let kept = table
  for (const name of ['', ...dispensable]) {
    kept = kept.filter(({ title }) => title !== name)
    const cells = runs.map((run) => kept.map(({ cell }) => cell(run, nowMs)))
    if (columns === undefined || widthOf(kept, cells) <= columns) return tableLines(kept, cells, { paint, columns })
  }
  return tableLines(
    kept,
    runs.map((run) => kept.map(({ cell }) => cell(run, nowMs))),
    { paint, columns },
  )
}

const textOf = (cell: Cell | undefined) => (typeof cell === 'string' ? cell : (cell?.text ?? ''))

/** The last column is cut to what is left, but not below ten characters. */
function widthOf(kept: ColumnOfRuns[], rows: Cell[][]): number {
  const widths = kept.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => [...textOf(row[index])].length)),
  )
  return widths.reduce((sum, width, index) => sum + (index === widths.length - 1 ? Math.min(width, 10) : width + 2), 0)
}

function withKillPhase(run: RunRow): Cell {
  const cell = statusCell(run)
  if (typeof cell === 'string' || run.status !== 'KILLING') return cell
  return { ...cell, text: `${cell.text} ${killPhaseText(run).toLowerCase()}` }
}

function heartbeat({ lastHeartbeatAt, endedAt }: RunRow, nowMs: number): string {
  if (lastHeartbeatAt === null || endedAt !== null) return '-'
  return `${formatDuration(nowMs - Date.parse(lastHeartbeatAt))} ago`
}

/** A change in one line, where there is no terminal to paint on. */
export function changeLine(run: RunRow, nowMs: number): string {
  const parts = [
    new Date(nowMs).toISOString(),
    run.id,
    printable(run.workflow),
    run.status === 'KILLING' ? `${run.status} ${killPhaseText(run).toLowerCase()}` : run.status,
    run.verdict.verdict,
    printable(run.phase ?? '-'),
    `${run.turns} ${run.turns === 1 ? 'turn' : 'turns'}`,
    ageText(run, nowMs),
    ...(run.lastOutput === null ? [] : [printable(run.lastOutput)]),
  ]
  return parts.join('  ')
}
