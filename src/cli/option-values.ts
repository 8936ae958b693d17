import { InvalidArgumentError } from 'commander'

/** @throws InvalidArgumentError */
export function parseWholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`)
    }
    return value
  }
}

const unitBytes: Record<string, number> = {
  ...{ b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 },
  ...{ kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
}

/** `2GiB`, `500MB`, `1.5 GiB` as bytes; a number without a unit is refused. @throws InvalidArgumentError */
export function parseBytes(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([a-z]+)$/i.exec(text) ?? []
  const bytes = Math.round(Number(number) * (unitBytes[unit.toLowerCase()] ?? Number.NaN))
  if (!(bytes > 0)) throw new InvalidArgumentError('Give a size with its unit, such as 2GiB, 512MiB or 500MB.')
  return bytes
}

/** `NAME=value` as a pair; the value may hold further `=` and may be empty. @throws InvalidArgumentError */
export function parsePair(text: string): { name: string; value: string } {
  const split = text.indexOf('=')
  if (split < 1) throw new InvalidArgumentError('Give it as NAME=value.')
  return { name: text.slice(0, split), value: text.slice(split + 1) }
}

/** For an option that may be given several times. */
export const collect =
  <Value>(parse: (text: string) => Value) =>
  (text: string, before: Value[] = []): Value[] => [...before, parse(text)]
