import { type CanaryEnd, type CanaryPhase, type CanaryTimings, canaryWorkflow } from '../domain/canary-events.ts'
import type { HostId, RunId } from '../domain/ids.ts'
import { type Receipt, survivorsText } from '../domain/receipt.ts'
import type { Control, KillRunResult, RequestContext } from './control.ts'
import { delayOrAbort } from './delay.ts'

/** All that a decoy takes of control: what every client has. */
export type DecoyControl = Pick<Control, 'startRun' | 'killRun' | 'runOutput'>

export type Decoy = { host: HostId; runId: RunId; idempotencyKey: string }

/** So long a decoy has to come to life, its wait for a slot included; its kill has so long to be proven. */
const [startMs, proofDeadlineMs] = [10_000, 10_000]
/** Short, for it is sure to pass: no process of a decoy hears SIGTERM. */
const graceMs = 200
const pollMs = 10

/**
 * The root, a child in a session of its own, and a daemon that has left its session and its parent; none of them hears
 * SIGTERM, and each says its pid. Where nobody kills them they end by themselves, after five minutes.
 */
const script = `trap "" TERM
setsid sh -c 'echo "$$"; exec sleep 300' &
(setsid sh -c 'echo "$$"; exec sleep 300' &)
echo "$$"
exec sleep 300`
const members = 3

/**
 * M2: starts a decoy and kills it, both in the way that everybody's runs go.
 * @returns what came of it; undefined: the signal aborted in the middle.
 * @throws StoreUnavailable
 */
export async function tryDecoy(
  control: DecoyControl,
  context: RequestContext,
  decoy: Decoy,
  signal: AbortSignal,
): Promise<CanaryEnd | undefined> {
  const { runId, idempotencyKey } = decoy
  const begun = performance.now()
  const started = await control.startRun(context, {
    ...{ workflow: canaryWorkflow, command: ['sh', '-c', script], idempotencyKey },
    ...{ policy: { graceMs, proofDeadlineMs }, labels: { canary: 'decoy' } },
  })
  if (started.type !== 'StartRunAnswer') return failed(decoy, 'start', started.message)
  const pids = await pidsOf(control, runId, AbortSignal.any([signal, AbortSignal.timeout(startMs)]))
  const timings: CanaryTimings = pids.length < members ? {} : { readyMs: since(begun) }
  const asked = performance.now()
  const killed = await killDecoy(control, context, runId, signal)
  if (signal.aborted) return undefined
  return judged(decoy, pids, killed, { ...timings, answeredMs: since(asked) })
}

/** Through the one path. Asking again changes nothing. @throws StoreUnavailable */
export const killDecoy = (
  control: Pick<Control, 'killRun'>,
  context: RequestContext,
  runId: RunId,
  signal: AbortSignal,
): Promise<KillRunResult> =>
  control.killRun(
    context,
    { runId, waitFor: 'KILLED', reason: 'readiness canary', timeoutMs: graceMs + 2 * proofDeadlineMs },
    signal,
  )

/** What the decoy has said when it is complete, or when the signal aborts. */
async function pidsOf(control: DecoyControl, runId: RunId, until: AbortSignal): Promise<number[]> {
  for (;;) {
    const text = (await control.runOutput(runId, 0, 1_000))?.text ?? ''
    const pids = text.split('\n').slice(0, -1).map(Number)
    if (pids.length >= members || until.aborted) return pids
    await delayOrAbort(pollMs, until)
  }
}

function judged(decoy: Decoy, pids: number[], killed: KillRunResult, asked: CanaryTimings): CanaryEnd {
  const { host, runId } = decoy
  if (killed.type !== 'KillRunAnswer') return failed(decoy, 'kill', killed.message, asked)
  const { receipt, status } = killed.run
  const timings = { ...asked, ...(receipt !== null && timingsOf(receipt)) }
  if (status === 'KILLED' && receipt?.root === null) {
    const why = `No slot was free for the decoy within ${startMs / 1000} s.`
    return { type: 'CanarySkipped', data: { host, runId, why } }
  }
  if (pids.length < members) {
    const said = `Only ${pids.length} of the decoy's ${members} processes came to life within ${startMs / 1000} s`
    return failed(decoy, 'start', `${said}; the run is ${status}.`, timings)
  }
  if (receipt === null || !receipt.proven) {
    const left = receipt === null ? '' : survivorsText(receipt)
    return failed(decoy, 'proof', `${killed.message}${left === '' ? '' : ` Left: ${left}.`}`, timings)
  }
  if (status !== 'KILLED') return failed(decoy, 'kill', `The decoy should have been killed, and is ${status}.`, timings)
  const missing = missingIn(receipt, pids)
  if (missing.length > 0) {
    const message = `The receipt is "proven", and does not show the end of the decoy's process ${missing.join(', ')}.`
    return failed(decoy, 'proof', message, timings)
  }
  const { level, processCount: processes } = receipt
  return { type: 'CanaryPassed', data: { host, runId, level, processes, timings } }
}

/** The decoy knows better than the receipt who there was. */
function missingIn({ processes }: Receipt, pids: number[]): number[] {
  const gone = new Set(processes.flatMap(({ identity, goneAt }) => (goneAt === null ? [] : identity.pid)))
  return pids.filter((pid) => !gone.has(pid))
}

function timingsOf({ timings }: Receipt): CanaryTimings {
  const { requestedAt, sigtermAt, sigkillAt, provenAt } = timings
  const ms = (at: string) => Math.max(0, Date.parse(at) - Date.parse(requestedAt))
  return {
    ...(sigtermAt !== undefined && { sigtermMs: ms(sigtermAt) }),
    ...(sigkillAt !== undefined && { sigkillMs: ms(sigkillAt) }),
    ...(provenAt !== undefined && { provenMs: ms(provenAt) }),
  }
}

const failed = (decoy: Decoy, phase: CanaryPhase, message: string, timings: CanaryTimings = {}): CanaryEnd => ({
  type: 'CanaryFailed',
  data: { host: decoy.host, runId: decoy.runId, phase, message: message.slice(0, 1000), timings },
})

const since = (begun: number) => Math.round(performance.now() - begun)
