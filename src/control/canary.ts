import { randomUUID } from 'node:crypto'
import type { CanaryEnd, CanaryTrigger } from '../domain/canary-events.ts'
import type { Actor } from '../domain/event.ts'
import type { HostLink } from '../domain/host-link.ts'
import { isTerminal } from '../domain/run-state.ts'
import type { EventStore } from '../event-store/event-store.ts'
import { settleCanaryAlert } from './canary-alert.ts'
import { type DecoyControl, killDecoy, tryDecoy } from './canary-decoy.ts'
import { type CanaryResult, createCanaryLog } from './canary-log.ts'
import type { CanaryStatus, ReadinessCheck, RequestContext } from './control.ts'
import { delayOrAbort } from './delay.ts'
import { loadRun } from './run-log.ts'
import { runIdOf } from './start-run.ts'

export type CanaryDeps = {
  store: EventStore
  host: HostLink
  control: DecoyControl
  now: () => Date
  /** Milliseconds from one canary to the next; 0: only on request. */
  intervalMs: number
  isReconciled: () => boolean
}

/** M2: proves now and then, on a decoy, that a kill does what it should. One at a time. */
export type Canary = {
  /** Settles what a server before this one left unfinished, then follows the schedule until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  /** Joins one that is under way. @param signal the server's, which ends it too. @throws StoreUnavailable */
  request(context: RequestContext, signal: AbortSignal): Promise<{ result: CanaryResult; joined: boolean }>
  /** Newest first, of all hosts. @throws StoreUnavailable */
  results(count: number): Promise<CanaryResult[]>
  readonly status: CanaryStatus
  check(): ReadinessCheck
}

const schedule: Actor = { kind: 'monitor', id: 'canary' }
const scheduled = (): RequestContext => ({ actor: schedule, correlationId: randomUUID() })

/** A server that has just started has other things to do. */
const firstAfterMs = 60_000
/** The longest that a timer can wait. */
const longMs = 2 ** 31 - 1
const pollMs = 100
/** A verdict further back than so many that were skipped is news no more. */
const rememberedMax = 20

export function createCanary({ store, host, control, now, intervalMs, isReconciled }: CanaryDeps): Canary {
  const log = createCanaryLog(store, now)
  const { hostId } = host
  let current: Promise<CanaryResult> | undefined
  let remembered = false
  /** Of this host: the last one, and the last one that said something. */
  let last: CanaryResult | undefined
  let verdict: CanaryResult | undefined
  let due: number | undefined

  async function run(signal: AbortSignal): Promise<void> {
    remembered = false
    while (!signal.aborted && (!isReconciled() || current !== undefined)) await delayOrAbort(pollMs, signal)
    if (signal.aborted) return
    await remember(signal)
    remembered = true
    due ??= intervalMs === 0 ? undefined : firstDue()
    while (!signal.aborted) {
      const waitMs = due === undefined ? longMs : due - now().getTime()
      await delayOrAbort(Math.min(Math.max(waitMs, 0), longMs), signal)
      if (signal.aborted || due === undefined || due > now().getTime()) continue
      due = now().getTime() + intervalMs
      await once('schedule', scheduled(), signal)
    }
  }

  function firstDue(): number {
    const soon = now().getTime() + Math.min(firstAfterMs, intervalMs)
    return last === undefined ? soon : Math.max(soon, Date.parse(last.startedAt) + intervalMs)
  }

  /** What is known from before. One that was not finished is: its decoy must not live on. */
  async function remember(signal: AbortSignal): Promise<void> {
    const earlier = await log.results(rememberedMax, hostId)
    last = earlier[0]
    verdict = earlier.find(isVerdict)
    if (last?.outcome === 'RUNNING') await finish(last, signal)
    if (verdict !== undefined) await settleCanaryAlert(store, verdict, scheduled(), now)
  }

  async function finish(open: CanaryResult, signal: AbortSignal): Promise<void> {
    const { runId } = open
    const killed = await killDecoy(control, scheduled(), runId, signal)
    if (signal.aborted) return
    const isOver = killed.type !== 'KillRunAnswer' || isTerminal(killed.run.status)
    const message = killed.message.slice(0, 1000)
    const end: CanaryEnd = isOver
      ? { type: 'CanarySkipped', data: { host: hostId, runId, why: 'The server ended in the middle of it.' } }
      : { type: 'CanaryFailed', data: { host: hostId, runId, phase: 'proof', message, timings: {} } }
    await conclude(open, end, scheduled())
  }

  function once(trigger: CanaryTrigger, context: RequestContext, signal: AbortSignal): Promise<CanaryResult> {
    current ??= perform(trigger, context, signal).finally(() => {
      current = undefined
    })
    return current
  }

  /** Where the signal aborts in the middle, the next server finishes it. */
  async function perform(trigger: CanaryTrigger, context: RequestContext, signal: AbortSignal): Promise<CanaryResult> {
    const idempotencyKey = `canary ${randomUUID()}`
    const decoy = { host: hostId, runId: runIdOf(context.actor, idempotencyKey), idempotencyKey }
    const { runId } = decoy
    const why = await obstacle()
    const begun = await log.begin({ host: hostId, runId, trigger }, context)
    last = begun
    const end: CanaryEnd | undefined =
      why === undefined
        ? await tryDecoy(control, context, decoy, signal)
        : { type: 'CanarySkipped', data: { host: hostId, runId, why } }
    return end === undefined ? begun : conclude(begun, end, context)
  }

  /** Why no decoy can be started now that would say something. */
  async function obstacle(): Promise<string | undefined> {
    if (!isReconciled() || !remembered) return 'This server has only just started; ask again in a moment.'
    const { slots } = await host.report()
    if (slots.waiting > 0 || slots.used >= slots.capacity) return 'No slot is free; runs come first.'
    const before = verdict === undefined ? undefined : (await loadRun(store, verdict.runId))?.state
    if (before === undefined || isTerminal(before.status)) return undefined
    return `The decoy of an earlier one, ${before.runId}, is ${before.status}.`
  }

  async function conclude(begun: CanaryResult, end: CanaryEnd, context: RequestContext): Promise<CanaryResult> {
    const result = await log.end(begun, end, context)
    last = result
    if (isVerdict(result)) verdict = result
    await settleCanaryAlert(store, result, context, now)
    return result
  }

  return {
    run,
    async request(context, signal) {
      const joined = current !== undefined
      return { result: await once('request', context, signal), joined }
    },
    results: (count) => log.results(count),
    get status() {
      return {
        intervalMs,
        nextAt: due === undefined ? null : new Date(due).toISOString(),
        running: current !== undefined,
      }
    },
    check: () => ({
      name: 'canary',
      ok: verdict?.outcome !== 'FAILED',
      advisory: true,
      detail: detailOf(verdict, last),
    }),
  }
}

const isVerdict = ({ outcome }: CanaryResult) => outcome === 'PASSED' || outcome === 'FAILED'

function detailOf(verdict: CanaryResult | undefined, last: CanaryResult | undefined): string {
  const skipped = last?.outcome === 'SKIPPED' ? `; skipped at ${last.endedAt}: ${last.message}` : ''
  if (verdict === undefined) return `has not been tried yet${skipped}`
  if (verdict.outcome === 'FAILED') return `failed at ${verdict.endedAt}: ${verdict.message}${skipped}`
  const { readyMs, sigkillMs, provenMs } = verdict.timings
  return `passed at ${verdict.endedAt}: ready in ${readyMs} ms, SIGKILL after ${sigkillMs} ms, proven after ${provenMs} ms${skipped}`
}
