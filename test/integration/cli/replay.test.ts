import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { Actor, RunDetails } from '../../../src/cli/answers.ts'
import { type CliOptions, cli as runCli } from '../../support/cli.ts'
import { type FakeGraphQLServer, startFakeGraphQLServer } from '../../support/fake-graphql-server.ts'
import { fakeRun, killedRun, pageOf } from '../../support/fake-runs.ts'

/** The commands that look back, against a server with the committed schema and made-up answers. */
let server: FakeGraphQLServer
let asked: { revision?: number | null; time?: string | null }[]
let then: RunDetails | null

const id = killedRun.id

const links = {
  restartOf: null,
  restart: { newRunId: 'run_0123456789cd' },
  restartedAs: fakeRun({ id: 'run_0123456789cd' }),
}
const entry = (revision: number, at: string, summary: string, kind: Actor['kind'] = 'HOST') => ({
  revision,
  type: 'X',
  at: `2026-11-21T${at}Z`,
  actor: { kind, id: 'admin' },
  summary,
  late: summary.startsWith('late'),
})
const timeline = ({ first, after }: { first: number; after: string | null }) => {
  const from = after === null ? 0 : Number(after.slice(1)) + 1
  const page = entries.slice(from, from + first)
  const endCursor = `c${from + page.length - 1}`
  return {
    ...pageOf(page),
    pageInfo: { hasNextPage: from + first < entries.length, hasPreviousPage: false, endCursor },
  }
}
const entries = [
  entry(0, '03:00:00.000', 'BUILDER requested', 'TOKEN'),
  entry(1, '03:00:00.120', 'started\u001b[2J'),
  entry(2, '03:41:07.000', 'kill requested', 'TOKEN'),
  entry(3, '03:41:06.900', 'late, and changed nothing (the run was KILLED): turn 7 completed'),
]
const phases = [
  { kind: 'WAITING', name: null, from: '2026-11-21T03:00:00.000Z', to: '2026-11-21T03:00:00.100Z', durationMs: 100 },
  { kind: 'WORKING', name: 'initialization', from: '2026-11-21T03:00:00.100Z', to: null, durationMs: 2_466_900 },
]

beforeAll(async () => {
  server = await startFakeGraphQLServer({
    Query: {
      run: (args: { id: string }) => (args.id === id ? { ...killedRun, ...links, timeline, phases } : null),
      alerts: () => pageOf([]),
      runAt: (args: { revision: number; time: string }) => {
        asked.push(args)
        return then
      },
    },
  })
})
afterAll(() => server.close())
beforeEach(() => {
  asked = []
  then = fakeRun({ asOf: '2026-11-21T03:40:00.100Z', revision: 1, lastHeartbeatAt: '2026-11-21T03:39:58.100Z' })
})

const cli = (argv: string[], options: CliOptions = {}) =>
  runCli(argv, { ...options, env: { RUNWARDEN_URL: server.url, RUNWARDEN_TOKEN: server.token, ...options.env } })

it('[R24] show --at says that it is a replay and of when; its ages are those of then', async () => {
  const { code, stdout } = await cli(['show', id, '--at', '2026-11-21T03:40:00.100Z'])
  expect(code).toBe(0)
  expect(asked).toEqual([{ id, time: '2026-11-21T03:40:00.100Z' }])
  expect(stdout).toMatch(
    /^REPLAY {2}as it was at 2026-11-21T03:40:00.100Z: 40 min after its start, .* after event 1 of 6/,
  )
  expect(stdout).toContain('RUNNING for 40 min')
  expect(stdout).toMatch(/heartbeat +2\.0 s ago/)
  expect(JSON.parse((await cli(['show', id, '--at', '1', '--json'])).stdout)).toMatchObject({
    status: 'RUNNING',
    asOf: then?.asOf,
  })
  expect((await cli(['show', id])).stdout).not.toContain('REPLAY')
})

it('[R24] show --at takes an event, a time after the start, and a time ago', async () => {
  const before = Date.now()
  for (const moment of ['3', '+90s', '-10m', '10m']) expect((await cli(['show', id, '--at', moment])).code).toBe(0)
  expect(asked[0]).toEqual({ id, revision: 3 })
  expect(asked[1]).toEqual({ id, time: '2026-11-21T03:01:30.100Z' })
  for (const ago of asked.slice(2)) {
    const ms = Date.parse(ago.time ?? '')
    expect(ms).toBeGreaterThanOrEqual(before - 600_000)
    expect(ms).toBeLessThanOrEqual(Date.now() - 600_000)
  }
})

it('[R24] show --at: no such run, event or moment; no receipt yet', async () => {
  expect((await cli(['show', 'run_ffffffffffff', '--at', '1'])).code).toBe(3)
  then = null
  const revision = await cli(['show', id, '--at', '12'])
  expect(revision).toMatchObject({ code: 3, stdout: '' })
  expect(revision.stderr).toContain('no event 12; its newest is 6')
  const early = await cli(['show', id, '--at', '2026-11-21T02:00:00Z'])
  expect(early).toMatchObject({ code: 3, stdout: '' })
  expect(early.stderr).toContain('had not been requested yet at 2026-11-21T02:00:00.000Z: that was at 2026-11-21T03:00')
  then = fakeRun({ asOf: '2026-11-21T03:40:00.100Z' })
  const receipt = await cli(['show', id, '--at', '1', '--receipt'])
  expect(receipt.code).toBe(1)
  expect(receipt.stderr).toContain('at 2026-11-21T03:40:00.100Z was RUNNING, without a receipt')
  expect((await cli(['show', id, '--at', 'yesterday'])).code).toBe(2)
  for (const far of ['999999999999d', '+999999999999d']) expect((await cli(['show', id, '--at', far])).code).toBe(0)
})

it('[R24] timeline: what happened, when, by whom, since when, and how long each phase took', async () => {
  const { code, stdout } = await cli(['timeline', id], { terminal: 80, env: { NO_COLOR: '1' } })
  expect(code).toBe(0)
  const lines = stdout.trimEnd().split('\n')
  expect(lines[0]).toContain(`${id}  BUILDER  KILLED after 41 min 9 s`)
  expect(lines[2]).toBe('  restarted as run_0123456789cd (RUNNING)')
  expect(lines.slice(4, 9)).toEqual([
    'EVENT  TIME                      SINCE START   SINCE LAST  WHO          WHAT',
    '    0  2026-11-21T03:00:00.000Z      -100 ms               token admin  BUILDER requested',
    '    1  2026-11-21T03:00:00.120Z       +20 ms      +120 ms  host         started',
    '    2  2026-11-21T03:41:07.000Z  +41 min 6 s  +41 min 6 s  token admin  kill requested',
    '    3  2026-11-21T03:41:06.900Z  +41 min 6 s      -100 ms  host         late, and changed nothing (the run was KILLED): turn 7 completed',
  ])
  expect(lines.slice(10)).toEqual([
    'PHASE                   FROM                      TOOK',
    'waiting for its launch  2026-11-21T03:00:00.000Z  100 ms',
    'initialization          2026-11-21T03:00:00.100Z  41 min 6 s so far',
  ])
})

it('[R24] timeline: JSON, a limit, no such run', async () => {
  const { stdout, stderr } = await cli(['timeline', id, '--json', '--limit', '2'])
  const shown = JSON.parse(stdout)
  expect(shown).toMatchObject({ id, restartedAs: { id: 'run_0123456789cd' }, phases: [{ kind: 'WAITING' }, {}] })
  expect(shown.timeline).toMatchObject([{ revision: 0 }, { revision: 1 }])
  expect(stderr).toContain('There are more; --limit 4')
  expect((await cli(['timeline', 'run_ffffffffffff'])).code).toBe(3)
})
