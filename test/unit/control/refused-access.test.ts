import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { AuditLog } from '../../../src/control/audit-log.ts'
import { createRefusedAccess } from '../../../src/control/refused-access.ts'
import { recordingLog } from '../../support/control-world.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function begin(denied: AuditLog['denied'] = async () => {}) {
  const recorded: { at: number; refused: unknown; why: string }[] = []
  const start = Date.now()
  const audit: AuditLog = {
    allowed: () => Promise.reject(new Error('nobody is allowed anything here')),
    async denied(context, attempt, why) {
      expect(attempt).toMatchObject({ action: 'authenticate', target: null })
      expect(context.actor).toEqual({ kind: 'user', id: 'anonymous' })
      recorded.push({ at: Date.now() - start, refused: attempt.details.refused, why })
      await denied(context, attempt, why)
    },
  }
  const { log, lines } = recordingLog()
  return { recorded, lines, access: createRefusedAccess(audit, log) }
}

it('[R20] the first refusal is recorded at once, those that follow soon after as a number', async () => {
  const { access, recorded } = begin()
  access.record('no token')
  expect(recorded).toEqual([{ at: 0, refused: 1, why: 'no token' }])
  for (let count = 0; count < 1_000; count += 1) access.record(`wrong token ${count}`)
  expect(recorded).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(recorded.slice(1)).toEqual([{ at: 10_000, refused: 1_000, why: 'wrong token 999' }])
  await vi.advanceTimersByTimeAsync(60_000)
  expect(recorded).toHaveLength(2)
  access.record('again')
  expect(recorded.at(-1)).toEqual({ at: 70_000, refused: 1, why: 'again' })
})

it('[R20] whoever knocks without end makes one entry each ten seconds, and every knock is counted', async () => {
  const { access, recorded } = begin()
  for (let ms = 0; ms < 60_000; ms += 100) {
    access.record('knock')
    await vi.advanceTimersByTimeAsync(100)
  }
  const pauses = recorded.slice(1).map(({ at }, index) => at - (recorded[index]?.at ?? 0))
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(10_000)
  await access.settle()
  expect(recorded.reduce((sum, { refused }) => sum + Number(refused), 0)).toBe(600)
})

it('what was not recorded yet is recorded at the end, and the end waits for every record', async () => {
  const held: (() => void)[] = []
  const { access, recorded } = begin(() => new Promise((resolve) => held.push(resolve)))
  access.record('one')
  access.record('two')
  await vi.advanceTimersByTimeAsync(10_000)
  access.record('three')
  let settled = false
  const settling = access.settle().then(() => {
    settled = true
  })
  held[1]?.()
  await vi.advanceTimersByTimeAsync(1)
  expect(settled).toBe(false)
  held[0]?.()
  await vi.advanceTimersByTimeAsync(1)
  held[2]?.()
  await settling
  expect(recorded.map(({ refused }) => refused)).toEqual([1, 1, 1])
})

it('[R20] a refusal that cannot be recorded is in the log', async () => {
  const { access, lines } = begin(async () => {
    throw new Error('broken')
  })
  access.record('one')
  await access.settle()
  expect(lines).toEqual(['error: a refused access could not be recorded'])
})
