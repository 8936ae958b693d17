import fc from 'fast-check'
import type { FactBody } from '../../src/domain/host-link.ts'
import { killKindSchema, type RunEventBody } from '../../src/domain/run-events.ts'
import {
  emergencyRequested,
  entered,
  event,
  exited,
  identity,
  killDeferred,
  killRequested,
  launchFailed,
  left,
  paused,
  pauseRequested,
  phase,
  receipt,
  requested,
  resumed,
  resumeRequested,
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

const cause = fc.constantFrom('kill' as const, 'leftovers' as const)
const status = fc.option(fc.integer({ min: 0, max: 255 }), { nil: null })
const claimedRoot = fc.constantFrom(root, identity(99), null)
const claimedRun = fc.constantFrom('run_0123456789ab', 'run_0123456789ab', 'run_ffffffffffff')

export const killKind = fc.constantFrom(...killKindSchema.options)
export const idempotencyKey = fc.option(fc.constantFrom('k1', 'k2'), { nil: undefined })

/** Right and wrong ones: proven or not, of this run or another, of its root or another process. */
const anyReceipt = fc
  .record({ proven: fc.boolean(), root: claimedRoot, runId: claimedRun })
  .map((claim) => (claim.proven ? receipt(claim) : unproven(claim)))

/** What a host reports while a run lives and dies, in any order. */
export const factBody: fc.Arbitrary<FactBody> = fc.oneof(
  fc.constantFrom(started(), started({ attempt: 2, root: identity(99) }), launchFailed()),
  fc.constantFrom(root, identity(99)).map((adopted) => event('RunAdopted', { root: adopted })),
  status.map(exited),
  fc.constant(emergencyRequested()),
  fc.constantFrom(paused(), resumed(), resumed('kill')),
  cause.map(sigtermSent),
  fc.constantFrom('a', 'b').map((id) => entered(id)),
  fc.constantFrom('a', 'b').map(left),
  fc.integer({ min: 0, max: 60_000 }).map((ms) => killDeferred(time(ms))),
  cause.map(sigkillSent),
  { weight: 3, arbitrary: anyReceipt.map(treeGone) },
  anyReceipt.map(treeNotProven),
  fc.integer({ min: 1, max: 9 }).map(turn),
  fc.constantFrom('initialization', 'build', 'test').map(phase),
  fc
    .record({ processes: fc.nat(9), progressPercent: fc.nat(100), rssBytes: fc.nat() }, { requiredKeys: [] })
    .map((data) => event('HeartbeatRecorded', { ...data, notices: [{ code: 'NOTE', detail: 'once' }] })),
  fc
    .record({ processes: fc.nat(9), peakRssBytes: fc.nat(), peakProcesses: fc.nat(9) }, { requiredKeys: [] })
    .map((data) => event('TelemetrySummarised', { ...data, lastHeartbeatAt: time(0) })),
  fc.constantFrom(
    event('CleanupStepCompleted', { step: 'cgroup', detail: 'removed' }),
    event('CleanupStepFailed', { step: 'cgroup', error: 'EBUSY', attempt: 1, willRetry: true }),
    event('RunCleaned', { failedSteps: [] }),
    event('RunCleaned', { failedSteps: ['cgroup'] }),
  ),
)

/** Any event of a run, also those that no decision would lead to: the fold must bear them all. */
export const eventBody: fc.Arbitrary<RunEventBody> = fc.oneof(
  factBody.filter(
    (fact) => !['LaunchFailed', 'EmergencyKillRequested', 'TreeGone', 'TreeNotProven'].includes(fact.type),
  ) as fc.Arbitrary<Extract<RunEventBody, FactBody>>,
  fc.constantFrom(pauseRequested(), resumeRequested()),
  fc.tuple(killKind, idempotencyKey).map(([kind, key]) => killRequested(kind, { idempotencyKey: key })),
  fc
    .tuple(fc.constantFrom('RunKilled' as const, 'RunCompleted' as const), anyReceipt)
    .map(([type, proof]) => event(type, { rootExit: null, receipt: proof })),
  anyReceipt.map((proof) => event('RunLost', { receipt: proof })),
  anyReceipt.map((proof) => event('KillUnverified', { receipt: proof })),
  fc
    .tuple(fc.constantFrom('EXIT_STATUS' as const, 'LAUNCH_FAILED' as const), fc.option(anyReceipt))
    .map(([reason, proof]) => event('RunFailed', { reason, message: 'it failed', rootExit: null, receipt: proof })),
  fc.constant(event('LateResultObserved', { fact: 'TurnCompleted', data: { turn: 7 }, status: 'KILLED' })),
  fc.constantFrom(requested(), requested({ runId: 'run_ffffffffffff', workflow: 'OTHER' })),
)
