import { InvalidArgumentError } from 'commander'

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * `300ms`, `5s`, `2m`, `1.5h`, `1d` in milliseconds; a unit is required, except for 0.
 * @throws InvalidArgumentError
 */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? []
  const factor = unitMs[unit ?? '']
  if (amount === undefined || factor === undefined) {
    throw new InvalidArgumentError('Give a duration with its unit, such as 300ms, 5s, 2m or 1h.')
  }
  return Math.round(Number(amount) * factor)
}

/** For people, two units at most: `85 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`
  const seconds = Math.floor(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return twoUnits(seconds, 60, 'min', 1, 's')
  if (seconds < 86_400) return twoUnits(seconds, 3600, 'h', 60, 'min')
  return twoUnits(seconds, 86_400, 'd', 3600, 'h')
}

function twoUnits(seconds: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((seconds % large) / small)
  return `${Math.floor(seconds / large)} ${largeName}${rest === 0 ? '' : ` ${rest} ${smallName}`}`
}
