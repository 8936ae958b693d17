import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { allProjections } from '../../../projections/all.ts'
import type { Projection } from '../../../projections/projection.ts'
import { runs } from '../../../projections/runs.ts'
import { findRun } from '../../../src/control/queries/runs.ts'
import { type RunId, runStream } from '../../../src/domain/ids.ts'
import {
  caughtUp,
  dump,
  newRunId,
  openWorld,
  patience,
  requestedAs,
  type World,
} from '../../support/projection-world.ts'
import { historyOf } from '../../support/random-history.ts'
import { event, killRequested, receipt, started, turn } from '../../support/run-events.ts'
import { waitUntil } from '../../support/wait-until.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const schemas = async () =>
  (await world.pool.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%'")).rows

describe('tables that are built anew', () => {
  it('[R41] have identical rows, whatever happened to the runs and however it was cut into batches', async () => {
    const projector = world.project()
    const ids: RunId[] = Array.from({ length: 4 }, newRunId)
    const histories = fc.tuple(...ids.map(historyOf))
    await fc.assert(
      fc.asyncProperty(histories, async (written) => {
        const fresh = new Map(ids.map((id) => [id, newRunId()]))
        await Promise.all(
          written.map((history, index) => {
            const id = ids[index] as RunId
            const own = JSON.parse(JSON.stringify(history).replaceAll(id, fresh.get(id) as RunId))
            return world.append(fresh.get(id) as RunId, ...own)
          }),
        )
        await caughtUp(world, projector)
        const before = await dump(world.pool)
        expect(await projector.rebuild(null)).toHaveLength(allProjections.length)
        expect(await dump(world.pool)).toEqual(before)
      }),
      { numRuns: 8 },
    )
    // R13's table and the domain's own fold tell the same of every run.
    const { rows } = await world.pool.query(
      `SELECT run_id FROM workflow_processes p JOIN runs r USING (run_id) WHERE p.status IS DISTINCT FROM r.status
         OR p.started_at IS DISTINCT FROM r.started_at OR p.created_at <> r.requested_at
         OR p.last_heartbeat IS DISTINCT FROM (r.state->>'lastHeartbeatAt')::timestamptz
         OR p.workspace_path IS DISTINCT FROM r.state->>'workspacePath'
         OR p.pid IS DISTINCT FROM CASE WHEN r.ended_at IS NULL AND r.state->'rootExit' = 'null'
              THEN (r.state->'root'->>'pid')::integer END`,
    )
    expect(rows).toEqual([])
    expect(await schemas()).toEqual([])
  })

  it('[R41] miss nothing that is written meanwhile, and can be read all the time', async () => {
    const projector = world.project([runs])
    const stop = new AbortController()
    const known = newRunId()
    await world.append(known, requestedAs(known))
    // More than a rebuild does while the live tables wait.
    const turns = Array.from({ length: 1_200 }, (_, index) => world.envelope(turn(index + 1), 1))
    await world.appendTo(runStream(known), turns)
    await caughtUp(world, projector)
    const writer = (async () => {
      for (let count = 1_201; !stop.signal.aborted; count += 1) await world.append(known, turn(count))
    })()
    const reader = (async () => {
      let turns = 0
      while (!stop.signal.aborted) {
        const run = await findRun(world.pool, known)
        // A read never meets a table that is missing, empty, or behind what was read before.
        expect(run?.turns).toBeGreaterThanOrEqual(turns)
        turns = run?.turns ?? 0
      }
    })()
    for (let round = 0; round < 3; round += 1) await projector.rebuild(['runs'], patience())
    stop.abort()
    await Promise.all([writer, reader])
    await caughtUp(world, projector)
    const { rows } = await world.pool.query(
      'SELECT count(*)::int - 1 AS revision FROM event_store.events WHERE stream = $1',
      [runStream(known)],
    )
    expect((await findRun(world.pool, known))?.revision).toBe(rows[0].revision)
  })

  it('[R41] replace those of an older version at the start, and those that are missing', async () => {
    const version = runs.version + 1
    const newer: Projection = { ...runs, version, ddl: `${runs.ddl} ALTER TABLE runs ADD COLUMN extra text;` }
    const columns = async () =>
      (await world.pool.query("SELECT 1 FROM information_schema.columns WHERE column_name = 'extra'")).rowCount
    const first = world.project()
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started())
    await caughtUp(world, first)
    await first.close()

    const second = world.project([newer])
    await waitUntil(async () => (await columns()) === 1, 'the newer table')
    await caughtUp(world, second)
    const status = await waitUntil(async () => {
      const [status] = await second.status()
      return status?.state === 'running' && status
    }, 'the newer version to run')
    expect(status).toMatchObject({ version, lag: 0 })
    await second.close()

    const older = world.project([runs])
    const refused = await waitUntil(async () => {
      const [status] = await older.status()
      return status?.state === 'failed' && status
    }, 'the older version to refuse')
    expect(refused.error).toContain('runwarden projections rebuild')
    await older.rebuild(['runs'])
    await waitUntil(async () => (await older.status())[0]?.state === 'running', 'the older version to run')
    await older.close()

    const before = await dump(world.pool)
    await world.pool.query('DROP TABLE runs')
    const third = world.project([runs])
    await waitUntil(
      async () => (await dump(world.pool).catch(() => undefined))?.runs?.length === 1,
      'the table to be back',
    )
    expect(await dump(world.pool)).toEqual(before)
    await third.close()
  })

  it('[R41] leave the live ones alone when they are interrupted, and what is left over goes with the next', async () => {
    const projector = world.project()
    const runId = newRunId()
    await world.append(runId, requestedAs(runId), started(), killRequested('force'))
    await world.append(runId, event('RunKilled', { rootExit: null, receipt: receipt({ runId }) }))
    await caughtUp(world, projector)
    const before = await dump(world.pool)
    const interrupting: Projection = {
      ...runs,
      fold: async (_, client) => void (await client.query('SELECT pg_terminate_backend(pg_backend_pid())')),
    }
    const other = world.project([interrupting])
    await expect(other.rebuild(['runs'])).rejects.toThrow('terminating connection')
    expect(await schemas()).toHaveLength(1)
    await other.close()
    expect(await dump(world.pool)).toEqual(before)
    await projector.rebuild(['runs'])
    expect(await schemas()).toEqual([])
    expect(await dump(world.pool)).toEqual(before)
  })
})
