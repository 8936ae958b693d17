import { canaryWorkflow } from '../../domain/canary-events.ts'
import type { RunRow } from '../answers.ts'
import { isEnded } from '../run-text.ts'

/** The runs of a live table, as far as they are known. */
export type WatchedRuns = {
  /** Takes a run in, if it is watched and this is news of it. `true`: what is told of it has changed. */
  update(run: RunRow): boolean
  /** What wants attention first; then the newest first; those that have ended last. */
  inOrder(): RunRow[]
  /** Shown as not ended: they are asked for by name, should a list not have them any more. */
  liveIds(): string[]
  /** Every run that was named is known, and has ended. */
  allEnded(): boolean
}

export type Watched = {
  /** Only these; empty: whatever the other conditions take in. */
  ids: readonly string[]
  workflow: string | undefined
  /** Ended runs too. Without it one that ends while it is watched stays, so that its end can be seen. */
  all: boolean
}

/** So many ended runs stay; a table that is watched for days must not grow for days. */
const endedMax = 200

export function createWatchedRuns({ ids, workflow, all }: Watched): WatchedRuns {
  const runs = new Map<string, RunRow>()

  function isWatched(run: RunRow): boolean {
    if (ids.length > 0) return ids.includes(run.id)
    // Decoys are nobody's work; who asks for them by name means them.
    if (workflow === undefined ? run.workflow === canaryWorkflow : run.workflow !== workflow) return false
    return all || !isEnded(run) || runs.has(run.id)
  }

  function update(run: RunRow): boolean {
    const known = runs.get(run.id)
    if (!isWatched(run) || (known !== undefined && isOlder(run, known))) return false
    runs.set(run.id, run)
    for (const old of inOrder().filter(isEnded).slice(endedMax)) runs.delete(old.id)
    return known === undefined || told(known) !== told(run)
  }

  const inOrder = () =>
    [...runs.values()].sort((a, b) => urgency(a) - urgency(b) || Date.parse(b.requestedAt) - Date.parse(a.requestedAt))

  return {
    update,
    inOrder,
    liveIds: () => [...runs.values()].filter((run) => !isEnded(run)).map(({ id }) => id),
    allEnded: () => ids.length > 0 && ids.every((id) => isEnded(runs.get(id) ?? { endedAt: null })),
  }
}

/** A list that was asked for earlier may arrive after a change that is pushed. */
function isOlder(run: RunRow, known: RunRow): boolean {
  if (run.revision !== known.revision) return run.revision < known.revision
  return (run.lastHeartbeatAt ?? '') < (known.lastHeartbeatAt ?? '')
}

/** Two rows that are told alike differ in nothing but their age and heartbeat. */
const told = ({ status, killPhase, verdict, phase, turns, progressPercent, lastOutput }: RunRow) =>
  JSON.stringify([
    status,
    status === 'KILLING' && killPhase,
    verdict.verdict,
    phase,
    turns,
    progressPercent,
    lastOutput,
  ])

function urgency(run: RunRow): number {
  if (run.status === 'KILL_UNVERIFIED') return 0
  if (isEnded(run)) return 5
  if (run.status === 'KILLING') return 1
  return { STUCK: 2, SLOW: 3, NORMAL: 4 }[run.verdict.verdict]
}
