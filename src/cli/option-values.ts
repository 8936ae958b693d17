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
