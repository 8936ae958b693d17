import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { absorb } from '../../../src/domain/absorb.ts'
import { evolve } from '../../../src/domain/evolve.ts'
import { type FactBody, factBodySchema } from '../../../src/domain/host-link.ts'
import type { RecordedRunEvent, RunEventBody } from '../../../src/domain/run-events.ts'
import { isTerminal, type RunState, runStatuses } from '../../../src/domain/run-state.ts'
import { summarise } from '../../../src/domain/summary.ts'
import { stateAfter } from '../../support/decider-spec.ts'
import { factBody } from '../../support/run-arbitraries.ts'
import {
  event,
  exited,
  killRequested,
  launchFailed,
  phase,
  receipt,
  record,
  requested,
  sigtermSent,
  started,
  treeGone,
  treeNotProven,
  turn,
  user,
} from '../../support/run-events.ts'

const live: RunEventBody[] = [requested(), started(), phase('build'), turn(1)]
const proof = { rootExit: null, receipt: receipt() }
const cleaned = event('RunCleaned', { failedSteps: [] })

/** A history for each way in which a run can end. */
const ends: Record<string, RunEventBody[]> = {
  KILLED: [...live, killRequested(), sigtermSent(), exited(143), event('RunKilled', proof)],
  COMPLETED: [...live, exited(0), event('RunCompleted', proof)],
  FAILED: [...live, exited(3), event('RunFailed', { reason: 'EXIT_STATUS', message: 'three', ...proof })],
  LOST: [...live, event('RunLost', { receipt: receipt() })],
  'never started': [
    requested(),
    event('RunFailed', { reason: 'LAUNCH_FAILED', message: 'no', rootExit: null, receipt: null }),
  ],
  'ended by decision': [
    ...live,
    event('ForceCompleteRequested', { outcome: 'COMPLETED', reason: null }),
    killRequested(),
    event('RunForceCompleted', { outcome: 'COMPLETED', ...proof }),
  ],
}

const factTypes = factBodySchema.options.map((option) => option.shape.type.value)
const ofItsOwn: Partial<Record<FactBody['type'], FactBody>> = {
  EmergencyKillRequested: {
    type: 'EmergencyKillRequested',
    data: { requestedBy: user, correlationId: 'test', reason: 'it hangs', proofDeadlineMs: 5_000 },
  },
  LaunchFailed: launchFailed(),
  TreeGone: treeGone(),
  TreeNotProven: treeNotProven(),
}
/** One fact of each type, so that none is forgotten, not even one that is yet to come. */
const oneOfEach = factTypes.map((type): FactBody => {
  const path = join(import.meta.dirname, `../../fixtures/events/v1/${type}.json`)
  return ofItsOwn[type] ?? { type, data: JSON.parse(readFileSync(path, 'utf8')).data }
})
const anyFact = fc.oneof(fc.constantFrom(...oneOfEach), factBody)

/** What belongs after an end: the cleanup, until it is done, and the summary of the telemetry. */
const isEpilogue = ({ type }: FactBody, { cleanup }: RunState) =>
  type === 'TelemetrySummarised' ||
  (cleanup.doneAt === null &&
    ['WorkspaceSalvaged', 'CleanupStepCompleted', 'CleanupStepFailed', 'RunCleaned'].includes(type))

it('the ends of this test are all that there are', () => {
  const statuses = Object.values(ends).map((history) => stateAfter(history).status)
  expect(new Set(statuses)).toEqual(new Set(runStatuses.filter(isTerminal)))
})

it.each(Object.entries(ends))(
  '[M8] any fact after the end is kept as a late result and changes nothing: %s',
  (_name, end) => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(anyFact, { minLength: 1, maxLength: 10 }), (isCleaned, facts) => {
        const history = isCleaned ? [...end, cleaned] : end
        const before = stateAfter(history)
        const late = facts.filter((fact) => !isEpilogue(fact, before))
        const events = late.map((fact) => absorb(fact, before))
        expect(events).toEqual(
          late.map(({ type, data }) => ({
            type: 'LateResultObserved',
            data: { fact: type, data, status: before.status },
          })),
        )
        expect(stateAfter([...history, ...events])).toEqual({
          ...before,
          lateResults: late.length,
          revision: before.revision + late.length,
        })
        for (const body of events)
          expect(summarise(recorded(body))).toMatch(/^late, and changed nothing \(the run was /)
      }),
      { numRuns: 200 },
    )
  },
)

it('[M8] a heartbeat that another writer recorded after the end changes nothing either', () => {
  for (const end of Object.values(ends)) {
    const before = stateAfter(end)
    const heartbeat = recorded(event('HeartbeatRecorded', { processes: 5, progressPercent: 99, lastOutput: 'alive!' }))
    expect(evolve(before, heartbeat)).toEqual(before)
  }
})

const recorded = (body: RunEventBody) => record([body])[0] as RecordedRunEvent
