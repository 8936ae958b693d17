import { setTimeout as delay } from 'node:timers/promises'
import type { Page, RunRow } from '../answers.ts'
import type { Connection } from '../connection.ts'
import { documents } from '../documents.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { runNotFound } from '../problems.ts'
import type { Watched, WatchedRuns } from './watched-runs.ts'

/** Changes are pushed. A look now and then finds what was missed before that began, or while the server was away. */
const lookEveryMs = 2_000
const againMs = 500
/** A restart of the server takes about two seconds; after half a minute it is no restart. */
const awayMaxMs = 30_000
/** The most that the server gives at once. */
const pageMax = 500

export type WatchView = {
  changed(run: RunRow): Promise<void> | void
  /** The connection is lost, and tried again; null: it is there. */
  notice(text: string | null): void
}

/**
 * Keeps the runs up to date until the signal aborts, across restarts of the server.
 * @throws CliError not found, for a run that was named; `unavailable` when the server stays away
 */
export async function followWatched(
  server: Connection,
  watched: Watched,
  runs: WatchedRuns,
  view: WatchView,
  signal: AbortSignal,
): Promise<void> {
  let lostAt: number | undefined

  async function take(run: RunRow): Promise<void> {
    if (runs.update(run)) await view.changed(run)
  }

  async function lookAtAll(): Promise<void> {
    const found = watched.ids.length > 0 ? [] : await list()
    for (const run of found) await take(run)
    const others =
      watched.ids.length > 0 ? watched.ids : runs.liveIds().filter((id) => !found.some((run) => run.id === id))
    for (const id of others) {
      const { run } = await server.request<{ run: RunRow | null }>(documents.runRow, { id }, { signal })
      if (run === null) throw runNotFound(id)
      await take(run)
    }
  }

  async function list(): Promise<RunRow[]> {
    const filter = { workflow: watched.workflow, ...(watched.all ? {} : { live: true }) }
    const answer = await server.request<{ runs: Page<RunRow> }>(documents.runs, { filter, first: pageMax }, { signal })
    return answer.runs.edges.map(({ node }) => node)
  }

  /** @throws CliError also when the server has been away for too long */
  async function look(): Promise<void> {
    try {
      await lookAtAll()
      lostAt = undefined
      view.notice(null)
    } catch (error) {
      if (signal.aborted) return
      lostAt ??= Date.now()
      if (!isAway(error) || Date.now() - lostAt > awayMaxMs) throw error
      view.notice('The connection to the server is lost; the runs go on; trying again …')
    }
  }

  async function keepLooking(): Promise<void> {
    while (!signal.aborted) {
      await delayOrAbort(lookEveryMs, signal)
      await look()
    }
  }

  async function keepFollowing(): Promise<void> {
    const variables = {
      filter: { workflow: watched.workflow },
      ...(watched.ids.length === 1 && { runId: watched.ids[0] }),
    }
    while (!signal.aborted) {
      try {
        const changes = server.subscribe<{ runChanged: RunRow }>(documents.followRuns, variables, signal)
        for await (const { runChanged } of changes) await take(runChanged)
      } catch (error) {
        if (!isAway(error)) throw error
      }
      // Whether it is lost for more than a moment is seen by the next look.
      await delayOrAbort(againMs, signal)
      await look()
    }
  }

  // The first look is not forgiven: a server that is not there is better told at once.
  await lookAtAll()
  view.notice(null)
  await Promise.all([keepLooking(), keepFollowing()])
}

const isAway = (error: unknown) => error instanceof CliError && error.exitCode === exitCodes.unavailable
const delayOrAbort = (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal }).catch(() => {})
