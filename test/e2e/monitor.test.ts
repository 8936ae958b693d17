import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeServerDirectory, markedProcesses, startTestServer, type TestServer } from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const directory = makeServerDirectory()
const intervalMs = 500
const begun: string[] = []
let server: TestServer

const startServer = () =>
  startTestServer({ dataDirectory: directory.path, env: { RUNWARDEN_CHECK_INTERVAL_MS: String(intervalMs) } })
beforeAll(async () => {
  server = await startServer()
}, 60_000)
afterAll(async () => {
  // What a failing test leaves alive.
  for (const id of begun) await kill(id)
  await server?.stop()
  await directory.remove()
}, 60_000)

const ask = (document: string, variables: object) => server.ask(document, variables)

async function start(script: string, policy: object): Promise<string> {
  const document = `mutation ($input: StartRunInput!) {
    startRun(input: $input) { ... on StartRunAnswer { run { id } } ... on Problem { message } }
  }`
  const { startRun } = await ask(document, { input: { command: ['sh', '-c', script], policy } })
  expect(startRun.run, startRun.message).toBeDefined()
  begun.push(startRun.run.id)
  return startRun.run.id
}

const show = async (id: string) =>
  (
    await ask(
      `query ($id: ID!) { run(id: $id) {
        status turns kill { reason requestedBy { kind id } } receipt { proven }
        events(first: 500) { edges { node { type data } } }
      } }`,
      { id },
    )
  ).run

const eventsOf = async (id: string, type: string): Promise<{ data: Record<string, unknown> }[]> =>
  (await show(id)).events.edges
    .map(({ node }: { node: { type: string } }) => node)
    .filter((node: { type: string }) => node.type === type)

const until = (id: string, status: string) =>
  waitUntil(async () => (await show(id)).status === status, `${id} to be ${status}`, 60_000)

const kill = (id: string) =>
  ask('mutation ($input: KillRunInput!) { killRun(input: $input) { __typename } }', {
    input: { runId: id, force: true },
  })

const deaf = 'trap "" TERM; while :; do sleep 0.1; done'
const turning = `echo '{"turn":1}' >> "$RUNWARDEN_PROGRESS"; ${deaf}`
const soon = { stuckAfterMs: 2_000, graceMs: 200 }

describe('the monitor on real processes', () => {
  it('[R16] [R17] seven runs that are stuck in initialization are killed, with proof; one that made a turn lives', async () => {
    const stuck = await Promise.all(Array.from({ length: 7 }, () => start(deaf, soon)))
    const busy = await start(turning, soon)
    for (const id of stuck) {
      await until(id, 'KILLED')
      expect(markedProcesses(id)).toEqual([])
      const run = await show(id)
      expect(run).toMatchObject({
        receipt: { proven: true },
        kill: { requestedBy: { kind: 'MONITOR', id: 'monitor' } },
      })
      expect(run.kill.reason).toMatch(/^Initialization timeout: .* the limit is 2s\. \(policy standard\)$/)
      expect(await eventsOf(id, 'KillRequested')).toHaveLength(1)
    }
    expect(await show(busy)).toMatchObject({ status: 'RUNNING', turns: 1, kill: null })
    const open = async () =>
      (await ask('{ alerts(open: true, first: 100) { edges { node { kind runId } } } }', {})).alerts.edges
    await waitUntil(async () => (await open()).length === 0, 'all alerts to be over', 30_000)
    await kill(busy)
  }, 120_000)

  it('[R14] [R17] a server that dies while a kill is due: the next one kills, once, and not for the time in between', async () => {
    const policy = { stuckAfterMs: 9_000, graceMs: 200 }
    const id = await start(deaf, policy)
    await until(id, 'RUNNING')
    await waitUntil(async () => (await show(id)).events.edges.length >= 2, 'its start to be recorded')
    await server.crash()
    // Longer than the limit, so that a run whose gap counted as age would be killed at the first look.
    await new Promise((resolve) => setTimeout(resolve, 10_000))
    server = await startServer()
    const [gap] = await waitUntil(
      async () => {
        const found = await eventsOf(id, 'SamplingInterrupted')
        return found.length > 0 && found
      },
      'the gap to be recorded',
      30_000,
    )
    expect(gap?.data).toMatchObject({ cause: 'agent-down' })
    expect((await show(id)).kill).toBeNull()
    await until(id, 'KILLED')
    expect(await eventsOf(id, 'KillRequested')).toHaveLength(1)
    expect(await eventsOf(id, 'SamplingInterrupted')).toHaveLength(1)
    expect(markedProcesses(id)).toEqual([])
  }, 120_000)

  it('[R16] a server that is stopped for longer than the limit, and goes on, kills nobody who was within it', async () => {
    const id = await start(deaf, { stuckAfterMs: 6_000, graceMs: 200 })
    await until(id, 'RUNNING')
    process.kill(server.identity.pid, 'SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 7_000))
    process.kill(server.identity.pid, 'SIGCONT')
    const [gap] = await waitUntil(
      async () => {
        const found = await eventsOf(id, 'SamplingInterrupted')
        return found.length > 0 && found
      },
      'the gap to be recorded',
      30_000,
    )
    expect(gap?.data).toMatchObject({ cause: 'suspended' })
    expect((await show(id)).kill).toBeNull()
    await until(id, 'KILLED')
  }, 120_000)
})
