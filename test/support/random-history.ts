import fc from 'fast-check'
import { absorb } from '../../src/domain/absorb.ts'
import { decide } from '../../src/domain/decide.ts'
import { evolve } from '../../src/domain/evolve.ts'
import type { FactBody } from '../../src/domain/host-link.ts'
import type { RunId } from '../../src/domain/ids.ts'
import type { RequestPause } from '../../src/domain/pause.ts'
import type { KillKind, RecordedRunEvent, RunEventBody } from '../../src/domain/run-events.ts'
import type { RunState } from '../../src/domain/run-state.ts'
import {
  emergencyRequested,
  entered,
  event,
  exited,
  killDeferred,
  launchFailed,
  left,
  paused,
  phase,
  receipt,
  requestKill,
  requestRun,
  resumed,
  root,
  sigkillSent,
  sigtermSent,
  started,
  time,
  treeGone,
  treeNotProven,
  turn,
  unproven,
} from './run-events.ts'

type Step = { kill: KillKind } | { hold: RequestPause['type'] } | { fact: FactBody }

/** What can happen to a run, in any order and as often as it likes: the domain decides what comes of it. */
const step = (runId: RunId): fc.Arbitrary<Step> =>
  fc.oneof(
    fc.constantFrom<KillKind>('graceful', 'force', 'emergency').map((kill) => ({ kill })),
    fc.constantFrom('RequestPause' as const, 'RequestResume' as const).map((hold) => ({ hold })),
    fc
      .oneof(
        fc.constantFrom<FactBody>(
          started(),
          launchFailed(),
          event('RunAdopted', { root }),
          emergencyRequested(),
          paused(),
          resumed(),
          sigtermSent(),
          entered('push'),
          left('push'),
          killDeferred(time(30_000)),
          sigkillSent('leftovers'),
          exited(0),
          exited(137),
          treeGone(receipt({ runId })),
          treeNotProven(unproven({ runId })),
          event('CleanupStepCompleted', { step: 'cgroup', detail: 'removed' }),
          event('CleanupStepFailed', { step: 'cgroup', error: 'busy', attempt: 1, willRetry: true }),
          event('RunCleaned', { failedSteps: [] }),
          event('TelemetrySummarised', {
            lastHeartbeatAt: time(7_000),
            peakRssBytes: 9,
            outOfMemory: { kills: 1, limitHits: 0, limitBytes: null },
          }),
        ),
        fc.nat({ max: 20 }).map((number) => turn(number + 1)),
        fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }).map(phase),
        fc
          .record({ progressPercent: fc.integer({ min: 0, max: 100 }), lastOutput: fc.string({ unit: 'binary' }) })
          .map((data) => event('HeartbeatRecorded', data)),
      )
      .map((fact) => ({ fact })),
  )

/** A run's history as control would write it: commands through `decide`, facts through `absorb`. */
export const historyOf = (runId: RunId): fc.Arbitrary<RunEventBody[]> =>
  fc.tuple(fc.boolean(), fc.array(step(runId), { maxLength: 30 })).map(([isStarted, steps]) => {
    const history: RunEventBody[] = []
    let state: RunState | undefined
    for (const body of decided(decide(requestRun({ runId }), undefined))) add(body)
    if (isStarted) add(absorb(started(), state))
    for (const next of steps) {
      if ('fact' in next) add(absorb(next.fact, state))
      else if ('hold' in next) for (const body of decided(decide({ type: next.hold, reason: null }, state))) add(body)
      else for (const body of decided(decide(requestKill(next.kill), state))) add(body)
    }
    return history

    function add(body: RunEventBody): void {
      history.push(body)
      state = evolve(state, recorded(body, history.length))
    }
  })

const decided = (decision: ReturnType<typeof decide>) => (decision.ok ? decision.events : [])

const recorded = (body: RunEventBody, index: number) =>
  ({
    ...body,
    v: 1,
    stream: 'run-0123456789ab',
    revision: index,
    position: index,
    recordedAt: time(index),
    metadata: {
      eventId: '00000000-0000-4000-8000-000000000000',
      actor: { kind: 'user', id: 'ada' },
      correlationId: 'test',
      occurredAt: time(index * 1_000),
    },
  }) as RecordedRunEvent
