import type { Receipt, ReceiptProcess } from '../domain/receipt.ts'
import { formatDuration } from './durations.ts'
import { printable } from './printable.ts'
import type { Screen } from './screen.ts'
import { type Cell, tableLines } from './table.ts'

const meaningOfLevel: Record<Receipt['level'], string> = {
  'cgroup-v2': 'the kernel kept the list of its processes, and it is empty',
  'process-scan': 'nobody of it is found in the process table; the weaker proof, see “not covered”',
}

/** The headline of a receipt: whether it is proven, and how well. */
export function proofLine(receipt: Receipt, screen: Pick<Screen, 'paint'>): string {
  if (receipt.proven && receipt.root === null && receipt.processCount === 0) {
    return `${screen.paint(['green', 'bold'], 'NEVER STARTED')}  no process of it was ever launched`
  }
  if (receipt.proven) {
    return `${screen.paint(['green', 'bold'], 'PROVEN DEAD')}  level ${receipt.level}: ${meaningOfLevel[receipt.level]}`
  }
  const alive = receipt.processes.filter((process) => process.goneAt === null).length
  const who =
    alive === 0 ? 'the checks below did not pass' : `${alive} ${alive === 1 ? 'process' : 'processes'} still there`
  return `${screen.paint(['red', 'bold'], 'NOT PROVEN')}  level ${receipt.level}: ${who}`
}

/** The whole receipt: proof, timings, checks, processes, and what it does not cover. */
export function receiptLines(receipt: Receipt, screen: Screen): string[] {
  return [
    proofLine(receipt, screen),
    ...timingLines(receipt),
    ...section('checks', checkLines(receipt, screen), screen),
    ...section(`processes (${receipt.processCount})`, processLines(receipt, screen), screen),
    ...section(
      'not covered',
      receipt.notCovered.map((text) => `- ${printable(text)}`),
      screen,
    ),
  ]
}

function section(title: string, lines: string[], screen: Screen): string[] {
  return lines.length === 0 ? [] : [`  ${screen.paint('dim', title)}`, ...lines.map((line) => `    ${line}`)]
}

const whyOn: Record<NonNullable<Receipt['deferral']>['endedBy'], string> = {
  'safe-point': 'its critical sections were left',
  limit: 'the limit was reached: a critical section was cut off',
  'stronger-kill': 'a stronger kill was asked for',
}

function timingLines({ timings, deferral, rootExit }: Receipt): string[] {
  const since = (at: string | undefined) =>
    at === undefined ? null : `+${formatDuration(Date.parse(at) - Date.parse(timings.requestedAt))}`
  const all: [string, string | null][] = [
    ['requested', timings.requestedAt],
    ['deferred', since(timings.deferredAt)],
    ['went on', deferral === undefined ? null : `${since(timings.deferralEndedAt)} (${whyOn[deferral.endedBy]})`],
    ['SIGTERM', since(timings.sigtermAt)],
    ['SIGKILL', since(timings.sigkillAt)],
    ['last one gone', since(timings.emptyAt)],
    ['proven', since(timings.provenAt)],
    ['root exit', rootExit === null ? null : (rootExit.status?.toString() ?? 'status not recorded')],
  ]
  return all.flatMap(([name, value]) => (value === null ? [] : [`  ${name.padEnd(14)} ${value}`]))
}

function checkLines({ checks }: Receipt, screen: Screen): string[] {
  return checks.map(({ name, passed, detail }) => {
    const [word, style] =
      passed === null
        ? (['not possible here', 'yellow'] as const)
        : passed
          ? (['passed', 'green'] as const)
          : (['FAILED', 'red'] as const)
    return `${screen.paint(style, word)}  ${printable(`${name}: ${detail}`)}`
  })
}

function processLines(receipt: Receipt, screen: Screen): string[] {
  if (receipt.processes.length === 0) return []
  // Eight blanks of indentation stand before each line.
  const painter = { paint: screen.paint, columns: screen.columns === undefined ? undefined : screen.columns - 8 }
  const columns = [
    { title: 'PID', align: 'right' as const },
    ...['STATE', 'SIGNALS', 'FOUND BY', 'COMMAND'].map((title) => ({ title })),
  ]
  // Whoever is left is why somebody reads this.
  const aliveFirst = receipt.processes.toSorted((a, b) => Number(a.goneAt !== null) - Number(b.goneAt !== null))
  const rows = aliveFirst.map((process): Cell[] => [
    String(process.identity.pid),
    stateCell(process, receipt.timings.requestedAt),
    signalsText(process.signals),
    process.foundBy.join(', '),
    printable(process.command),
  ])
  const rest = receipt.processCount - receipt.processes.length
  return [...tableLines(columns, rows, painter), ...(rest > 0 ? [`… and ${rest} more, only counted`] : [])]
}

/** A process that cannot die is signalled again and again. */
function signalsText(signals: ReceiptProcess['signals']): string {
  const counts = Map.groupBy(signals, ({ signal }) => signal)
  const each = [...counts].map(([signal, { length }]) => (length === 1 ? signal : `${signal} × ${length}`))
  return each.join(', ') || 'none'
}

function stateCell(process: ReceiptProcess, since: string): Cell {
  if (process.goneAt === null) {
    const where = process.wchan === undefined ? '' : ` in ${printable(process.wchan)}`
    return { text: `ALIVE ${printable(process.state ?? '?')}${where}`, style: ['red', 'bold'] }
  }
  const unreaped = process.unreaped ? ', unreaped' : ''
  return `gone +${formatDuration(Date.parse(process.goneAt) - Date.parse(since))}${unreaped}`
}
