import { expect, it } from 'vitest'
import { type DiskSpace, diskText, judgeDisk, thresholdText } from '../../../src/domain/low-disk.ts'

const mebibyte = 1024 ** 2
const disk = (freeBytes: number | null, totalBytes: number | null = 100 * mebibyte): DiskSpace => ({
  ...{ place: 'data', path: '/data', places: ['data'], freeBytes, totalBytes, seenAt: null },
  failure: freeBytes === null ? 'has not answered within 5 s' : null,
})

it('[R10] space is low below either threshold, and enough at it', () => {
  const byBytes = { bytes: 10 * mebibyte, percent: 0 }
  expect(judgeDisk(disk(10 * mebibyte - 1), byBytes, false)).toBe('LOW')
  expect(judgeDisk(disk(10 * mebibyte), byBytes, false)).toBe('ENOUGH')
  const byPercent = { bytes: 0, percent: 5 }
  expect(judgeDisk(disk(4.9 * mebibyte), byPercent, false)).toBe('LOW')
  expect(judgeDisk(disk(5 * mebibyte), byPercent, false)).toBe('ENOUGH')
  expect(judgeDisk(disk(0), { bytes: 0, percent: 0 }, true)).toBe('ENOUGH')
})

it('[R10] low space stays low until there is a quarter more', () => {
  const threshold = { bytes: 8 * mebibyte, percent: 0 }
  expect(judgeDisk(disk(10 * mebibyte - 1), threshold, true)).toBe('LOW')
  expect(judgeDisk(disk(10 * mebibyte), threshold, true)).toBe('ENOUGH')
  expect(judgeDisk(disk(6.2 * mebibyte), { bytes: 0, percent: 5 }, true)).toBe('LOW')
  expect(judgeDisk(disk(6.3 * mebibyte), { bytes: 0, percent: 5 }, true)).toBe('ENOUGH')
})

it('[R10] what cannot be seen is not judged, and what has no size is never full', () => {
  const threshold = { bytes: 0, percent: 5 }
  expect(judgeDisk(disk(null, null), threshold, true)).toBe('UNKNOWN')
  expect(judgeDisk(disk(0, 0), threshold, false)).toBe('ENOUGH')
})

it('[R10] is told in units that people read', () => {
  expect(diskText(disk(5 * mebibyte))).toBe('5.0 MiB (5.0 %) of 100.0 MiB free for /data')
  expect(diskText(disk(null, null))).toBe('/data: has not answered within 5 s')
  expect(thresholdText({ bytes: 1024 ** 3, percent: 5 })).toBe('1.0 GiB or 5 %')
  expect(thresholdText({ bytes: 0, percent: 0 })).toBeUndefined()
})
