import type { Limit, RunLimit } from './answers.ts'

/** Limits in a line, each with what holds the run to it where that is known; null: there are none. */
export function limitsText(limits: (Limit | RunLimit)[]): string | null {
  return limits.map((limit) => `${amount(limit)}${enforcement(limit)}`).join(', ') || null
}

function amount({ limit, requested }: Limit): string {
  switch (limit) {
    case 'MEMORY':
      return `memory ${Math.round(requested / 2 ** 20)} MiB`
    case 'PIDS':
      return `${requested} processes`
    case 'CPU':
      return `CPU ${requested} %`
    case 'OPEN_FILES':
      return `${requested} open files`
  }
}

function enforcement(limit: Limit | RunLimit): string {
  if (!('enforcedBy' in limit) || limit.enforcedBy === null) return ''
  return limit.enforcedBy === 'NONE' ? ' (NOT ENFORCED)' : ` (${limit.enforcedBy.toLowerCase()})`
}
