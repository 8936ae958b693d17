import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { spawnCli } from '../support/cli.ts'
import { expectIntact, git, heldRepository } from '../support/git.ts'
import { makeServerDirectory, startTestServer, type TestServer } from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const directory = makeServerDirectory()
const begun: string[] = []
let server: TestServer
let places = 0

const startServer = () =>
  startTestServer({ dataDirectory: directory.path, env: { RUNWARDEN_CHECK_INTERVAL_MS: '500' } })
beforeAll(async () => {
  server = await startServer()
}, 60_000)
afterAll(async () => {
  for (const runId of begun) await ask(killRun, { input: { runId, force: true } })
  await server?.stop()
  await directory.remove()
}, 60_000)

const ask = (document: string, variables: object) => server.ask(document, variables)
const place = () => {
  places += 1
  const path = join(directory.path, `place-${places}`)
  mkdirSync(path)
  return path
}

const killRun = `mutation ($input: KillRunInput!) {
  killRun(input: $input) { __typename ... on Problem { message }
    ... on KillRunAnswer { success message waitExpired run { status killPhase } } }
}`
const runDocument = `query ($id: ID!) { run(id: $id) {
  status killPhase
  kill { requestedAt requestedBy { kind } deferral { since until endedAt sections { kind source detail } } }
  safeToKill { safe message wouldDeferUntil sections { kind source since detail limitMs } }
  receipt { proven timings { requestedAt deferredAt deferralEndedAt sigtermAt sigkillAt provenAt } json }
  restartedAs { id }
  events(first: 200) { edges { node { type data occurredAt } } }
} }`
const show = async (id: string) => (await ask(runDocument, { id })).run
const typesOf = async (id: string): Promise<string[]> =>
  (await show(id)).events.edges.map(({ node }: { node: { type: string } }) => node.type)

async function start(path: string, script: string, policy: object = {}): Promise<string> {
  const document = `mutation ($input: StartRunInput!) {
    startRun(input: $input) { ... on StartRunAnswer { run { id } } ... on Problem { message } }
  }`
  const command = ['sh', '-c', `${script}\nexec sleep 1000`]
  const { startRun } = await ask(document, { input: { command, policy, workspace: { kind: 'EXISTING', path } } })
  expect(startRun.run, startRun.message).toBeDefined()
  begun.push(startRun.run.id)
  return startRun.run.id
}

const deferred = (id: string) =>
  waitUntil(
    async () => {
      const run = await show(id)
      return run.killPhase === 'DEFERRED' && run
    },
    `the kill of ${id} to wait`,
    20_000,
  )
const ended = (id: string) =>
  waitUntil(
    async () => {
      const run = await show(id)
      return run.receipt === null ? undefined : run
    },
    `the end of ${id}`,
    30_000,
  )
const later = (at: string, ms: number) => new Date(Date.parse(at) + ms).toISOString()

/** In a critical section until it is told to leave. */
const section = `echo '{"enter":{"id":"report","kind":"file_operations","detail":"the report"}}' >>"$RUNWARDEN_PROGRESS"
touch entered; until [ -e leave ]; do sleep 0.02; done; touch whole
echo '{"exit":{"id":"report"}}' >>"$RUNWARDEN_PROGRESS"`

async function startSection(policy: object = {}) {
  const path = place()
  const id = await start(path, section, policy)
  await waitUntil(() => existsSync(join(path, 'entered')), 'the section', 20_000)
  return { id, isWhole: () => existsSync(join(path, 'whole')), leave: () => writeFileSync(join(path, 'leave'), '') }
}

describe('a graceful kill through the API', () => {
  it('[R7] [R9] [R14] during a git commit: waits, visibly, over a crash of the server; the repository is intact', async () => {
    const { work, script, held, goOn } = heldRepository(place(), 'pre-commit')
    const id = await start(work, script)
    await held()
    const before = (await show(id)).safeToKill
    expect(before).toMatchObject({
      safe: false,
      sections: [{ kind: 'GIT_OPERATIONS', source: 'OBSERVED', limitMs: 30_000 }],
    })
    expect(before.message).toContain('git commit, pid ')
    await ask(killRun, { input: { runId: id, waitFor: 'ACCEPTED' } })
    const waiting = await deferred(id)
    const until = later(waiting.kill.requestedAt, 30_000)
    expect(waiting).toMatchObject({
      ...{ status: 'KILLING', safeToKill: { safe: false, wouldDeferUntil: until } },
      kill: { deferral: { until, endedAt: null, sections: [{ kind: 'GIT_OPERATIONS', source: 'OBSERVED' }] } },
    })

    await server.crash()
    server = await startServer()
    expect(await deferred(id)).toMatchObject({ kill: { deferral: { since: waiting.kill.deferral.since, until } } })
    goOn()
    const { receipt, status, kill } = await ended(id)
    expect({ status, proven: receipt.proven }).toEqual({ status: 'KILLED', proven: true })
    expect(receipt.json.deferral).toMatchObject({ until, endedBy: 'safe-point' })
    const { deferredAt, deferralEndedAt, sigtermAt } = receipt.timings
    expect(deferredAt < deferralEndedAt && deferralEndedAt <= sigtermAt && deferralEndedAt < until).toBe(true)
    expect(kill.deferral.endedAt).not.toBeNull()
    expect((await typesOf(id)).filter((type) => type === 'KillDeferred')).toHaveLength(1)
    expectIntact(work)
    expect(git(work, 'log', '--format=%s')).toBe('second\nfirst\n')
    expect(existsSync(join(work, '.git/index.lock'))).toBe(false)
  })

  it('[R7] [R9] [R40] during a git push: the command line says what it waits for; the remote is whole', async () => {
    const { work, remote, script, held, goOn } = heldRepository(place(), 'pre-push')
    const id = await start(work, script)
    await held()
    const env = { RUNWARDEN_URL: server.url, RUNWARDEN_TOKEN: server.token }
    const killing = spawnCli(['kill', id], env, 60_000)
    await waitUntil(() => killing.stderr().includes('kill deferred until'), 'the CLI to say so', 20_000, killing.stderr)
    expect(killing.stderr()).toMatch(/at the latest, for a git operation \(git push, pid \d+\)/)
    const shown = await spawnCli(['show', id], env, 20_000).ended
    expect(shown.stdout).toMatch(/KILLING \(DEFERRED until \d\d:\d\d:\d\d\)/)
    expect(shown.stdout).toMatch(/safe to kill +no: The kill waits for a git operation/)
    goOn()
    const { code, stderr } = await killing.ended
    expect(code, stderr).toBe(0)
    expect((await spawnCli(['show', id, '--receipt'], env, 20_000).ended).stdout).toContain(
      'its critical sections were left',
    )
    expectIntact(remote)
    expect(git(remote, 'rev-parse', 'main')).toBe(git(work, 'rev-parse', 'main'))
  })

  it('[R7] [R11] the wait is no part of the five seconds; a wait that expires says what goes on', async () => {
    const { id, leave } = await startSection({ graceMs: 200 })
    const { killRun: answer } = await ask(killRun, { input: { runId: id, timeoutMs: 300 } })
    await deferred(id)
    expect(answer.waitExpired).toBe(true)
    const { killRun: again } = await ask(killRun, { input: { runId: id, timeoutMs: 300 } })
    expect(again.message).toMatch(/^The kill waits for a file operation \(the report\), until \S+ at the latest/)
    leave()
    const { receipt } = await ended(id)
    const { deferralEndedAt, provenAt } = receipt.timings
    expect(Date.parse(provenAt) - Date.parse(deferralEndedAt)).toBeLessThan(5_000)
  })

  it('[R7] force pre-empts a wait', async () => {
    const { id, isWhole } = await startSection()
    await ask(killRun, { input: { runId: id, waitFor: 'ACCEPTED' } })
    await deferred(id)
    const { killRun: answer } = await ask(killRun, { input: { runId: id, force: true } })
    expect(answer).toMatchObject({ success: true, run: { status: 'KILLED' } })
    expect((await show(id)).receipt.json.deferral.endedBy).toBe('stronger-kill')
    expect(isWhole()).toBe(false)
  })

  it('[R7] [R17] the monitor waits, too', async () => {
    const { id, leave, isWhole } = await startSection({ stuckAfterMs: 2_000 })
    expect(await deferred(id)).toMatchObject({ kill: { requestedBy: { kind: 'MONITOR' } } })
    leave()
    await ended(id)
    expect(isWhole()).toBe(true)
  })

  it.each([
    ['restartRun', 'KILLED'],
    ['forceCompleteRun', 'FAILED'],
  ])('[R2] [R3] [R7] %s waits, too', async (mutation, status) => {
    const { id, leave, isWhole } = await startSection()
    const input = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}Input`
    await ask(`mutation ($input: ${input}!) { ${mutation}(input: $input) { __typename } }`, {
      input: { runId: id, timeoutMs: 1 },
    })
    await deferred(id)
    leave()
    expect(await ended(id)).toMatchObject({ status })
    expect(isWhole()).toBe(true)
    if (mutation !== 'restartRun') return
    const again = await waitUntil(async () => (await show(id)).restartedAs?.id ?? undefined, 'the new run')
    begun.push(again)
  })

  it('[R7] runwarden section, in a run: is known, and its command is waited for to its end', async () => {
    const path = place()
    const held = 'touch entered; until [ -e leave ]; do sleep 0.02; done; sleep 0.2; touch whole'
    const id = await start(path, `runwarden section --kind database_transactions -- sh -c '${held}'`)
    await waitUntil(() => existsSync(join(path, 'entered')), 'the section', 20_000)
    expect((await show(id)).safeToKill.sections).toMatchObject([
      { kind: 'DATABASE_TRANSACTIONS', source: 'DECLARED', limitMs: 15_000, detail: expect.stringContaining('sh -c') },
    ])
    await ask(killRun, { input: { runId: id, waitFor: 'ACCEPTED' } })
    await deferred(id)
    writeFileSync(join(path, 'leave'), '')
    await ended(id)
    const types = await typesOf(id)
    expect(types.indexOf('CriticalSectionExited')).toBeLessThan(types.indexOf('SigtermSent'))
    expect(existsSync(join(path, 'whole'))).toBe(true)
  })
})
