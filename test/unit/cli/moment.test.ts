import { expect, it } from 'vitest'
import { parseMoment, replayLine } from '../../../src/cli/moment.ts'
import { fakeRun } from '../../support/fake-runs.ts'

it.each([
  ['12', { revision: 12 }],
  ['#12', { revision: 12 }],
  ['0', { revision: 0 }],
  ['10m', { agoMs: 600_000 }],
  ['-10m', { agoMs: 600_000 }],
  ['1.5h', { agoMs: 5_400_000 }],
  ['+90s', { afterStartMs: 90_000 }],
  ['+300ms', { afterStartMs: 300 }],
  ['2026-11-21T03:14:15Z', { time: '2026-11-21T03:14:15.000Z' }],
  ['2026-11-21T03:14:15.926Z', { time: '2026-11-21T03:14:15.926Z' }],
  ['2026-11-21T05:14+02:00', { time: '2026-11-21T03:14:00.000Z' }],
])('[R24] the moment %s is %j', (text, moment) => {
  expect(parseMoment(text)).toEqual(moment)
})

it.each(
  [
    ['', '+', '-', 'now', '+12', '12.5', '-12', '99999999999', '10 m', '3h5m', '2026-11-21', '03:14'],
    // Without its zone nobody knows which moment it is; and there is no 25th hour, and no 31 February.
    ['2026-11-21T03:14:15', '2026-11-21T25:14:15Z', '2026-02-31T00:00:00Z'],
  ].flat(),
)('[R24] "%s" is no moment', (text) => {
  expect(() => parseMoment(text)).toThrow(/zone|unit/)
})

it('[R24] a replay says which moment it shows', () => {
  const now = fakeRun({ revision: 7 })
  const was = { ...fakeRun({ revision: 2 }), asOf: '2026-11-21T03:01:30.100Z' }
  const nowMs = Date.parse('2026-11-21T03:41:30.100Z')
  expect(replayLine({ was, now, toCome: false }, nowMs)).toBe(
    'as it was at 2026-11-21T03:01:30.100Z: 1 min 30 s after its start, 40 min ago, after event 2 of 7; ages are those of then',
  )
  const waiting = { was: { ...was, asOf: '2026-11-21T02:59:59.000Z' }, now: fakeRun({ startedAt: null }) }
  expect(replayLine({ ...waiting, toCome: false }, nowMs)).toContain('1.0 s before its request')
  expect(replayLine({ was, now, toCome: true }, nowMs)).toContain('still to come: as it was at')
  const retired = replayLine({ was: { ...was, heartbeatsRetired: true }, now, toCome: false }, nowMs)
  expect(retired).toMatch(/Heartbeats of that time are no longer kept \(retention\)/)
})
