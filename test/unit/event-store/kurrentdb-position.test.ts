import { expect, it } from 'vitest'
import { toNumber, toPosition } from '../../../src/event-store/kurrentdb-position.ts'

it('[R41] keeps what both parts of a position say, and their order', () => {
  const positions = [
    { commit: 0n, prepare: 0n },
    { commit: 17n, prepare: 0n },
    { commit: 17n, prepare: 17n },
    { commit: 18n, prepare: 0n },
    { commit: 2n ** 51n, prepare: 2n ** 51n },
  ]
  const numbers = positions.map(toNumber)
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  expect(new Set(numbers).size).toBe(positions.length)
  expect(numbers.every(Number.isSafeInteger)).toBe(true)
  expect(numbers.map(toPosition)).toEqual(positions)
})

it('[R41] takes what lies within a transaction of long ago for its beginning: nothing of it is passed over', () => {
  expect(toPosition(toNumber({ commit: 90n, prepare: 40n }))).toEqual({ commit: 90n, prepare: 0n })
})

it('[R41] refuses what no number can hold, and what is no position', () => {
  for (const position of [
    undefined,
    { commit: 2n ** 52n, prepare: 0n },
    { commit: 2n ** 64n - 1n, prepare: 2n ** 64n - 1n },
  ]) {
    expect(() => toNumber(position)).toThrow(RangeError)
  }
})
