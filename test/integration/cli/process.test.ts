import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type SpawnedCli, spawnCli } from '../../support/cli.ts'
import { type FakeGraphQLServer, startFakeGraphQLServer } from '../../support/fake-graphql-server.ts'
import { fakeAlert, fakeEvent, fakeRun, killedRun, pageOf } from '../../support/fake-runs.ts'
import { waitUntil } from '../../support/wait-until.ts'

/** What only a process of its own can show: signals, broken pipes, lost connections, how long it takes to start. */
let server: FakeGraphQLServer
const id = 'run_0123456789ab'
/** Offsets from which the output was asked for. */
const offsets: number[] = []
/** Cursors after which the alerts were asked for. */
const cursors: (string | null)[] = []
let killRun: () => unknown = () => killedRun

beforeAll(async () => {
  server = await startFakeGraphQLServer({
    Query: {
      run: () => fakeRun(),
      alerts: () => pageOf([]),
      runEvents: () =>
        pageOf(Array.from({ length: 500 }, (_, revision) => fakeEvent(revision, 'TurnCompleted', 'x'.repeat(500)))),
    },
    Mutation: {
      startRun: () => ({ __typename: 'StartRunAnswer', run: fakeRun() }),
      killRun: () => killRun(),
    },
    Subscription: {
      // One line, then silence: a run that hangs.
      runOutput: async function* ({ offset }: { offset: number }) {
        offsets.push(offset)
        yield { offset, next: offset + 7, text: `from ${offset}\n`, ended: false }
        await server.subscriptionsEnd()
      },
      alerts: async function* ({ after }: { after?: string | null }) {
        cursors.push(after ?? null)
        const next = after == null ? 1 : Number(after) + 1
        yield { cursor: String(next), alert: fakeAlert({ message: `alert ${next}` }) }
        await server.subscriptionsEnd()
      },
      // biome-ignore lint/correctness/useYield: a kill whose steps cannot be seen
      runEvents: async function* () {
        throw new Error('no events today')
      },
    },
  })
})
afterAll(() => server.close())

const environment = () => ({
  RUNWARDEN_URL: server.url,
  RUNWARDEN_TOKEN: server.token,
  RUNWARDEN_DATA_DIR: '/nonexistent/runwarden',
})
const cli = (...argv: string[]): SpawnedCli => spawnCli(argv, environment())

it('[R40] a full disk behind stdout is said in a sentence', async () => {
  const full = openSync('/dev/full', 'w')
  const entry = join(import.meta.dirname, '../../support/cli-entry.ts')
  const show = spawn(process.execPath, [entry, 'show', id], {
    env: { PATH: process.env.PATH, ...environment() },
    stdio: ['ignore', full, 'pipe'],
  })
  closeSync(full)
  let stderr = ''
  show.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  expect(await once(show, 'close')).toEqual([1, null])
  expect(stderr).toMatch(/^runwarden: The output could not be written: ENOSPC[^\n]*\n$/)
})

it('[R40] Ctrl-C detaches from a followed run, and says that it goes on and how to end it', async () => {
  const run = cli('run', '--follow', '--', 'sleep', '600')
  await waitUntil(() => run.stdout().includes('from 0'), 'the first output', 10_000, run.stderr)
  run.child.kill('SIGINT')
  const { code, stdout, stderr } = await run.ended
  expect(code).toBe(130)
  expect(stdout).toBe('from 0\n')
  expect(stderr).toBe(
    `${id}\nDetached: ${id} goes on. Watch it with: runwarden logs ${id} --follow. End it with: runwarden kill ${id}\n`,
  )
})

it('[R16] [R23] alerts --follow tells each one once, also after the connection was lost, until Ctrl-C', async () => {
  const alerts = cli('alerts', '--follow')
  await waitUntil(() => alerts.stdout().includes('alert 1'), 'the first alert', 10_000, alerts.stderr)
  server.dropConnections()
  await waitUntil(() => alerts.stdout().includes('alert 2'), 'the alert after the reconnect', 10_000, alerts.stderr)
  alerts.child.kill('SIGINT')
  const { code, stdout } = await alerts.ended
  expect(code).toBe(130)
  expect(stdout.match(/alert \d/g)).toEqual(['alert 1', 'alert 2'])
  expect(cursors).toEqual([null, '1'])
})

it('[R40] following goes on where it was when the connection is lost', async () => {
  offsets.length = 0
  const logs = cli('logs', id, '--follow')
  await waitUntil(() => logs.stdout().includes('from 0'), 'the first output', 10_000, logs.stderr)
  server.dropConnections()
  await waitUntil(() => logs.stdout().includes('from 7'), 'the output after the reconnect', 10_000, logs.stderr)
  logs.child.kill('SIGINT')
  expect(await logs.ended).toMatchObject({ code: 130, stdout: 'from 0\nfrom 7\n' })
  expect(logs.stderr()).toContain('the connection to the server is lost')
  expect(offsets).toEqual([0, 7])
})

it('[R40] following goes on when a server that is stopped in order has ended the subscription', async () => {
  offsets.length = 0
  const logs = cli('logs', id, '--follow')
  await waitUntil(() => logs.stdout().includes('from 0'), 'the first output', 10_000, logs.stderr)
  server.endSubscriptions()
  await waitUntil(() => logs.stdout().includes('from 7'), 'the output after that', 10_000, logs.stderr)
  logs.child.kill('SIGINT')
  expect(await logs.ended).toMatchObject({ code: 130, stdout: 'from 0\nfrom 7\n', stderr: '' })
})

it('[R40] a reader that goes away ends the command quietly', async () => {
  const events = cli('events', id, '--json')
  events.child.stdout?.once('data', () => events.child.stdout?.destroy())
  const { code, stderr } = await events.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
})

it('[R1] a kill whose steps cannot be shown is carried out all the same', async () => {
  killRun = () => ({
    __typename: 'KillRunAnswer',
    success: true,
    runId: id,
    killedAt: killedRun.endedAt,
    cleanupStatus: 'DONE',
    message: 'Dead.',
    joined: false,
    waitExpired: false,
    run: killedRun,
  })
  const { code, stdout, stderr } = await cli('kill', id).ended
  expect(code, stderr).toBe(0)
  expect(stdout).toContain('PROVEN DEAD')
  expect(stderr).toContain('the steps cannot be shown')
})

it('[R40] Ctrl-C while a kill is waited for says that the kill goes on', async () => {
  const asked = Promise.withResolvers<void>()
  const never = Promise.withResolvers<unknown>()
  killRun = () => {
    asked.resolve()
    return never.promise
  }
  const kill = cli('kill', id)
  await asked.promise
  kill.child.kill('SIGINT')
  const { code, stdout, stderr } = await kill.ended
  never.resolve(killedRun)
  expect({ code, stdout }).toEqual({ code: 130, stdout: '' })
  expect(stderr).toContain(`the kill of ${id} goes on`)
})
