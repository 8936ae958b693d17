import { afterEach, beforeEach, expect, it } from 'vitest'
import type { OpenSection } from '../../../src/domain/critical-section.ts'
import { Bell } from '../../../src/host/bell.ts'
import type { Cgroup } from '../../../src/host/cgroup.ts'
import { deferKill, deferralOf } from '../../../src/host/deferral.ts'
import { FactLog } from '../../../src/host/fact-log.ts'
import { LadderLog } from '../../../src/host/ladder-log.ts'
import { recordingLog } from '../../support/control-world.ts'
import { hostId, runId } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let temporary: ReturnType<typeof makeTemporaryDirectory>
let facts: FactLog
let ladder: LadderLog
const clock = () => new Date()
const call: OpenSection = { kind: 'api_calls', source: 'DECLARED', since: clock().toISOString(), detail: 'a call' }

beforeEach(async () => {
  temporary = makeTemporaryDirectory()
  const path = (name: string) => `${temporary.path}/${name}`
  facts = await FactLog.open({
    ...{ hostId, runId, path: path('facts'), acknowledgedPath: path('acknowledged'), factSequence: 0, clock },
    ...{ crashPoint() {}, onFact() {} },
  })
  ladder = await LadderLog.open(path('ladder'), () => {})
})
afterEach(async () => {
  await facts.close()
  await ladder.close()
  temporary.remove()
})

/** A cgroup that stands still at once, and what is open in it while it does and while it does not. */
function scripted(open: (isFrozen: boolean, look: number) => OpenSection[]) {
  let isFrozen = false
  let looks = 0
  const freezer = {
    freeze(on: boolean) {
      isFrozen = on
      return true
    },
    frozen: () => isFrozen,
    populated: () => true,
  }
  const run = {
    ...{ runId, ladder, facts, clock, bell: new Bell(), log: recordingLog().log, signal: new AbortController().signal },
    cgroup: freezer as unknown as Cgroup,
    openSections: async () => {
      looks += 1
      return open(isFrozen, looks)
    },
    rootExit: () => undefined,
    letGoOn: async () => {},
  }
  return { run, isFrozen: () => isFrozen, looks: () => looks }
}

const limits = (ms: number) => ({ git_operations: ms, database_transactions: ms, file_operations: ms, api_calls: ms })
const ask = (ms: number) =>
  ladder.want({
    ...{ kind: 'graceful', requestedAt: clock().toISOString(), graceMs: 1, proofDeadlineMs: 1_000 },
    sectionLimits: limits(ms),
  })

it('[R7] sections that show only while the run stands still do not hold it beyond the limit', async () => {
  await ask(500)
  const { run } = scripted((isFrozen, look) => (look === 1 || isFrozen ? [call] : []))
  await deferKill(run)
  expect(deferralOf(ladder).deferral?.endedBy).toBe('limit')
})

it('[R7] between two sections the run goes on, and stands still once there is none', async () => {
  await ask(60_000)
  const open: Record<number, OpenSection[]> = { 1: [call], 2: [], 3: [call], 4: [call], 5: [], 6: [] }
  const frozenAt: boolean[] = []
  const { run, isFrozen } = scripted((frozen, look) => {
    frozenAt.push(frozen)
    return open[look] ?? []
  })
  await deferKill(run)
  expect(frozenAt).toEqual([false, false, true, false, false, true])
  expect(isFrozen()).toBe(true)
  expect(deferralOf(ladder).deferral?.endedBy).toBe('safe-point')
})

it('[R7] a run in no section is not held up: one look, nothing written, nobody stopped', async () => {
  await ask(60_000)
  const { run, isFrozen, looks } = scripted(() => [])
  await deferKill(run)
  expect([looks(), isFrozen(), ladder.step('deferring'), facts.lastSequence]).toEqual([1, false, undefined, 0])
})
