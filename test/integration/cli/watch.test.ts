import { setMaxListeners } from 'node:events'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { RunRow } from '../../../src/cli/answers.ts'
import { runCli } from '../../../src/cli/cli.ts'
import { cli, type SpawnedCli, spawnCli } from '../../support/cli.ts'
import { type FakeSource, fakeSource } from '../../support/fake-control.ts'
import { type FakeGraphQLServer, startFakeGraphQLServer } from '../../support/fake-graphql-server.ts'
import { fakeRun, killedRun, pageOf } from '../../support/fake-runs.ts'
import { entered, type FakeTerminal, fakeTerminal, left } from '../../support/fake-terminal.ts'
import { waitUntil } from '../../support/wait-until.ts'

/** The live table over real HTTP and WebSocket, on a made-up terminal, against made-up runs. */
let server: FakeGraphQLServer
let runs: RunRow[]
let changes: FakeSource<RunRow>
let subscribed: { filter: unknown; runId?: string }[]
const over = new AbortController()
setMaxListeners(0, over.signal)
const id = 'run_0123456789ab'
const listenersBefore = process.listenerCount('SIGTERM')

beforeEach(async () => {
  runs = [fakeRun()]
  changes = fakeSource()
  subscribed = []
  server = await startFakeGraphQLServer({
    Query: {
      run: (args: { id: string }) => runs.find((run) => run.id === args.id) ?? null,
      runs: ({ filter }: { filter: { live?: boolean } }) =>
        pageOf(runs.filter((run) => !filter.live || run.endedAt === null)),
    },
    Subscription: {
      runChanged: (args: { filter: unknown; runId?: string }) => {
        subscribed.push(args)
        return changes.open(over.signal)
      },
    },
  })
})
afterEach(async () => {
  changes.end()
  await server.close()
})

const env = () => ({
  RUNWARDEN_URL: server.url,
  RUNWARDEN_TOKEN: server.token,
  RUNWARDEN_DATA_DIR: '/nonexistent/runwarden',
})

function watchOn(terminal: FakeTerminal, ...argv: string[]): Promise<number> {
  const unexpected = async (): Promise<never> => {
    throw new Error('not expected')
  }
  return runCli(['watch', ...argv], {
    version: '1.2.3',
    env: { ...env(), NO_COLOR: '1' },
    cwd: '/',
    stdin: terminal.stdin,
    stdout: terminal.stdout,
    stderr: terminal.stdout,
    composed: {
      up: unexpected,
      down: unexpected,
      killLocally: unexpected,
      exportHistory: unexpected,
      importHistory: unexpected,
      doctor: unexpected,
    },
  })
}

const shows = (terminal: FakeTerminal, text: string | RegExp) =>
  waitUntil(
    () => terminal.screen().join('\n').match(text) !== null,
    `the screen to show ${text}`,
    15_000,
    terminal.written,
  )

it('[R40] a table on a terminal, painted in place as runs change, given back by q', async () => {
  const terminal = fakeTerminal()
  const watching = watchOn(terminal)
  await shows(terminal, /RUN .*\n.*run_0123456789ab +BUILDER +RUNNING +STUCK/)
  await waitUntil(() => changes.opened > 0, 'the subscription')
  changes.push(fakeRun({ turns: 7, revision: 2 }))
  await shows(terminal, /STUCK +initialization +7 /)
  changes.push({ ...killedRun, revision: 9 })
  await shows(terminal, /^0 live(.|\n)*KILLED/)
  expect(terminal.modes).toEqual([true])
  terminal.type('q')
  expect(await watching).toBe(0)
  expect(terminal.modes).toEqual([true, false])
  const written = terminal.written()
  expect(written.startsWith(entered)).toBe(true)
  expect(written.split(left)).toHaveLength(2)
  expect(terminal.remains()).toMatch(/^RUN .*\nrun_0123456789ab .*KILLED/)
  expect(process.listenerCount('SIGTERM')).toBe(listenersBefore)
})

it('[R40] ages grow by themselves; another size is painted at once', async () => {
  const terminal = fakeTerminal()
  runs = Array.from({ length: 30 }, (_, index) =>
    fakeRun({ id: `run_${index}`, startedAt: new Date(Date.now() - 1_000).toISOString() }),
  )
  const watching = watchOn(terminal)
  await shows(terminal, 'and 13 more')
  await shows(terminal, /3\.\d s/)
  terminal.resize({ columns: 50, rows: 6 })
  expect(terminal.screen()).toHaveLength(6)
  expect(terminal.screen().at(-1)).toBe('… and 27 more')
  terminal.type('\u0003')
  expect(await watching).toBe(130)
})

it('[R40] runs that are named are watched until they have ended; an unknown one is not found', async () => {
  const terminal = fakeTerminal()
  const watching = watchOn(terminal, id)
  await shows(terminal, 'RUNNING')
  await waitUntil(() => changes.opened > 0, 'the subscription')
  expect(subscribed[0]).toMatchObject({ runId: id })
  changes.push({ ...killedRun, revision: 9 })
  expect(await watching).toBe(0)
  expect(terminal.remains()).toContain('KILLED')
  const unknown = fakeTerminal()
  expect(await watchOn(unknown, 'run_ffffffffffff')).toBe(3)
  expect(unknown.remains()).toBe(
    'runwarden: There is no run run_ffffffffffff.\nSee `runwarden ls --all` for those that there are.\n',
  )
})

it('[R40] --json without a terminal: a line per change, which one look finds where none was pushed', async () => {
  const watching = cli(['watch', id, '--json'], { env: env() })
  await waitUntil(() => changes.opened > 0, 'the subscription')
  // Nothing is pushed: as when the change came before the subscription began.
  runs = [fakeRun({ ...killedRun, revision: 9 })]
  const { code, stdout, stderr } = await watching
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toMatchObject([
    { id, status: 'RUNNING', verdict: { verdict: 'STUCK' } },
    { id, status: 'KILLED' },
  ])
})

it('[R40] a lost connection is told on the screen and tried again', async () => {
  const terminal = fakeTerminal()
  const watching = watchOn(terminal)
  await shows(terminal, 'RUNNING')
  await waitUntil(() => changes.opened > 0, 'the subscription')
  let away = true
  const before = runs
  server.refuse(() => away)
  server.dropConnections()
  await shows(terminal, 'connection to the server is lost')
  runs = before.map((run) => ({ ...run, turns: 3, revision: 5 }))
  away = false
  await shows(terminal, /initialization +3 /)
  await waitUntil(() => !terminal.screen().join('\n').includes('lost'), 'the notice to go')
  await waitUntil(() => changes.opened > 1, 'another subscription')
  terminal.type('q')
  expect(await watching).toBe(0)
})

it('[R40] without a terminal Ctrl-C ends it with 130, SIGTERM too', async () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const watch: SpawnedCli = spawnCli(['watch'], env(), 30_000)
    await waitUntil(() => watch.stdout().includes('RUNNING'), 'the first line', 15_000, watch.stderr)
    watch.child.kill(signal)
    expect(await watch.ended).toMatchObject({ code: 130, stderr: '' })
  }
})
