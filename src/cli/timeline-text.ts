import type { RunPhase, TimelineEntry, TimelineHead } from './answers.ts'
import { formatDuration } from './durations.ts'
import { printable } from './printable.ts'
import { actorText, headline, linkFacts } from './run-text.ts'
import type { Screen } from './screen.ts'
import { type Cell, type Column, tableLines } from './table.ts'

/** What happened, when, by whom; then how long what took. */
export function timelineLines(head: TimelineHead, entries: TimelineEntry[], nowMs: number, screen: Screen): string[] {
  return [
    headline(head, nowMs, screen),
    ...linkLines(head, screen),
    '',
    ...entryLines(head, entries, screen),
    '',
    ...phaseLines(head.phases, screen),
  ]
}

const linkLines = (head: TimelineHead, screen: Screen): string[] =>
  [['host', head.host] as const, ...linkFacts(head)].map(
    ([name, value]) => `  ${screen.paint('dim', name.padEnd(12))} ${value}`,
  )

function entryLines({ startedAt, requestedAt }: TimelineHead, entries: TimelineEntry[], screen: Screen): string[] {
  const columns: Column[] = [
    { title: 'EVENT', align: 'right' },
    { title: 'TIME' },
    { title: startedAt === null ? 'SINCE REQUEST' : 'SINCE START', align: 'right' },
    { title: 'SINCE LAST', align: 'right' },
    { title: 'WHO' },
    { title: 'WHAT' },
  ]
  const start = Date.parse(startedAt ?? requestedAt)
  const rows = entries.map((entry, index): Cell[] => {
    const at = Date.parse(entry.at)
    const before = entries[index - 1]
    return [
      String(entry.revision),
      { text: entry.at, style: 'dim' },
      signed(at - start),
      before === undefined ? '' : signed(at - Date.parse(before.at)),
      // Which host it was is said above, and is the same in every line.
      entry.actor.kind === 'HOST' ? 'host' : actorText(entry.actor),
      entry.late ? { text: printable(entry.summary), style: 'yellow' } : printable(entry.summary),
    ]
  })
  return tableLines(columns, rows, uncut(screen))
}

const signed = (ms: number) => `${ms < 0 ? '-' : '+'}${formatDuration(Math.abs(ms))}`

const labelOf: Record<RunPhase['kind'], string> = {
  WAITING: 'waiting for its launch',
  WORKING: '',
  PAUSED: 'paused',
  KILL_REQUESTED: 'kill: until a signal',
  DEFERRED: 'kill: waiting for a critical section',
  TERMINATING: 'kill: after SIGTERM',
  KILLING: 'kill: after SIGKILL',
  VERIFYING: 'end: looking for proof',
  CLEANING: 'end: cleanup',
}

function phaseLines(phases: RunPhase[], screen: Screen): string[] {
  const rows = phases.map(({ kind, name, from, to, durationMs }): Cell[] => [
    kind === 'WORKING' ? printable(name ?? '') : labelOf[kind],
    { text: from, style: 'dim' },
    `${formatDuration(durationMs)}${to === null ? ' so far' : ''}`,
  ])
  return tableLines([{ title: 'PHASE' }, { title: 'FROM' }, { title: 'TOOK' }], rows, uncut(screen))
}

/** A line that is too long wraps: of what happened nothing is left out. */
const uncut = ({ paint }: Screen) => ({ paint, columns: undefined })
