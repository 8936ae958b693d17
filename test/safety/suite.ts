import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isRunning } from '../../src/host/process-table.ts'
import { readIdentity } from '../../src/os/process-identity.ts'
import { gitIn } from '../support/git.ts'
import { graphql } from '../support/graphql-client.ts'
import { tree } from '../support/host-world.ts'
import { type Isolation, openSafetyWorld, type SafetyWorld, whyNot } from '../support/safety-world.ts'
import { markedProcesses } from '../support/server.ts'
import { startSlowApi } from '../support/slow-api.ts'

/** R9, R10, R11 on real processes and through the public API. What counts is what is left, not what is answered. */
export async function safetySuite(isolation: Isolation): Promise<void> {
  const missing = await whyNot(isolation)
  describe.skipIf(missing !== undefined)(
    `safety: ${isolation}${missing === undefined ? '' : ` (not here: ${missing})`}`,
    { timeout: 90_000 },
    () => {
      let world: SafetyWorld
      beforeAll(async () => {
        world = await openSafetyWorld(isolation)
      })
      afterAll(() => world?.close())
      titles(() => world)
      edges(() => world)
    },
  )
}

function titles(current: () => SafetyWorld): void {
  const place = (name: string): string => {
    const path = join(current().scratch, name)
    mkdirSync(path)
    current().give(path)
    return path
  }
  const existing = (path: string) => ({ workspace: { kind: 'EXISTING', path } })
  const node = (script: string, ...args: string[]) => [process.execPath, '-e', script, ...args]

  describe('[R9] kill_during_git_operation', () => {
    const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org']
    const git = `git ${identity.join(' ')}`

    it.each(['graceful', 'force'] as const)('commit, %s: the repository is whole, and goes on', async (kind) => {
      const world = current()
      const repository = place(`commit ${kind}`)
      const inside = gitIn(repository, world.uid)
      inside('init', '-q', '-b', 'main')
      const script = `n=0; while n=$((n+1)); do echo $n >"file $((n % 7))"; ${git} add -A; ${git} commit -qm "commit $n"; done`
      const id = await world.start(['sh', '-c', script], existing(repository))
      await world.waitFor(() => commits(inside) >= 5, 'some commits')
      await world.killed(id, { force: kind === 'force' })
      expect(inside('fsck', '--full', '--strict', '--no-dangling')).toBe('')
      const before = commits(inside)
      expect(holdersOf(join(repository, '.git'))).toEqual([])
      // A graceful kill waits until git is done; what a forced one leaves is a lock that nobody holds, and is cleaned up.
      expect(existsSync(join(repository, '.git/index.lock'))).toBe(false)
      inside('add', '-A')
      inside('commit', '-q', '--allow-empty', '-m', 'after')
      expect(commits(inside)).toBe(before + 1)
    })

    it.each(['graceful', 'force'] as const)(
      'push, %s: the remote is whole, and knows nothing that we do not',
      async (kind) => {
        const world = current()
        const [remote, repository] = [place(`remote ${kind}`), place(`push ${kind}`)]
        const [far, near] = [gitIn(remote, world.uid), gitIn(repository, world.uid)]
        far('init', '-q', '--bare', '-b', 'main')
        near('init', '-q', '-b', 'main')
        near('remote', 'add', 'origin', remote)
        const script = `while :; do head -c 20000 /dev/urandom >noise; ${git} add -A; ${git} commit -qm more; ${git} push -q origin main; done`
        const id = await world.start(['sh', '-c', script], existing(repository))
        await world.waitFor(() => commits(far) >= 3, 'some pushes')
        await world.killed(id, { force: kind === 'force' })
        expect(far('fsck', '--full', '--strict', '--no-dangling')).toBe('')
        expect(near('fsck', '--full', '--strict', '--no-dangling')).toBe('')
        const pushed = far('rev-parse', 'main')
        near('merge-base', '--is-ancestor', pushed, 'main')
        expect(markedProcesses(id)).toEqual([])
      },
    )
  })

  it('[R9] kill_during_file_write: what was finished is whole, and nobody writes on', async () => {
    const world = current()
    const workspace = place('files')
    // Each file is finished by its rename; its name is the hash of what is in it.
    const script = `
      const { createHash, randomBytes } = require('node:crypto')
      const { renameSync, writeFileSync, appendFileSync } = require('node:fs')
      for (;;) {
        const content = randomBytes(300_000)
        writeFileSync('unfinished', content)
        renameSync('unfinished', createHash('sha256').update(content).digest('hex'))
        appendFileSync('growing', 'x'.repeat(999) + '\\n')
      }`
    const id = await world.start(node(script), existing(workspace))
    await world.waitFor(() => readdirSync(workspace).length > 10, 'some files')
    await world.killed(id)
    const names = readdirSync(workspace)
    const sizes = () => readdirSync(workspace).map((name) => [name, statSync(join(workspace, name)).size])
    const after = sizes()
    const finished = names.filter((name) => name.length === 64)
    expect(finished.length).toBeGreaterThan(8)
    for (const name of finished) {
      expect(
        createHash('sha256')
          .update(readFileSync(join(workspace, name)))
          .digest('hex'),
      ).toBe(name)
    }
    expect(readFileSync(join(workspace, 'growing'), 'latin1')).toMatch(/^(x{999}\n)*x*$/)
    // By now its writer would have gone on a hundred times.
    await world.killed(await world.start(['sleep', '1000']), { force: true })
    expect(sizes()).toEqual(after)
  })

  it('[R9] kill_during_database_transaction: nothing of it is seen, and its locks are free', async () => {
    const world = current()
    const query = databaseOf(world)
    query('create table accounts (id int primary key, balance int)')
    query('insert into accounts values (1, 100), (2, 0)')
    const program = join(import.meta.dirname, '../programs/open-transaction.ts')
    const id = await world.start([process.execPath, program, JSON.stringify(connectionOf(world))])
    const locks = () =>
      query(`select pid from pg_locks where relation = 'accounts'::regclass and mode = 'RowExclusiveLock'`)
    await world.waitFor(() => locks().length === 1, 'the transaction')
    await world.killed(id)
    await world.waitFor(() => locks().length === 0, 'its locks to be free')
    expect(query('select * from accounts order by id')).toEqual([
      { id: 1, balance: 100 },
      { id: 2, balance: 0 },
    ])
    query('update accounts set balance = 1')
  })

  it('[R9] [R10] kill_with_active_api_calls: connections are closed, answered or cut off, and its port is free', async () => {
    const world = current()
    const api = await startSlowApi()
    try {
      const workspace = place('calls')
      const script = `
        const http = require('node:http')
        for (const path of ['/slow', '/silent']) http.get({ port: ${api.port}, path }, (answer) => answer.resume())
        const server = http.createServer((_, answer) => answer.end('here'))
        server.listen(0, '127.0.0.1', () => require('node:fs').writeFileSync('port', String(server.address().port)))`
      const id = await world.start(node(script), existing(workspace))
      await world.waitFor(() => api.open() === 2 && existsSync(join(workspace, 'port')), 'two calls to be open')
      const port = Number(await untilWritten(world, join(workspace, 'port')))
      expect(await answers(port)).toBe(true)
      await world.killed(id)
      await world.waitFor(() => api.open() === 0, 'the server to see that they are gone')
      expect(await answers(port)).toBe(false)
    } finally {
      await api.close()
    }
  })

  it('[R9] [R6] kill_with_child_processes: none of any kind is left, and none of them is our zombie', async () => {
    const world = current()
    const workspace = place('family')
    const id = await world.start(['sh', tree('family.sh')], existing(workspace))
    const pidsPath = join(workspace, 'pids')
    const lines = () => (existsSync(pidsPath) ? readFileSync(pidsPath, 'utf8').split('\n').filter(Boolean) : [])
    await world.waitFor(() => lines().length >= 6, 'the family')
    const family = lines().flatMap((pid) => readIdentity(Number(pid)) ?? [])
    expect(family).toHaveLength(6)
    const { run } = await world.killed(id)
    expect(family.filter(isRunning)).toEqual([])
    expect(run.receipt.json.level).toBe(world.isolation === 'no cgroups' ? 'process-scan' : 'cgroup-v2')
    const named = run.receipt.json.processes.map(({ identity }: { identity: { pid: number } }) => identity.pid)
    expect(named).toEqual(expect.arrayContaining(family.map(({ pid }) => pid)))
    const children = readFileSync(
      `/proc/${world.server.identity.pid}/task/${world.server.identity.pid}/children`,
      'utf8',
    )
    for (const { pid } of family) expect(children.split(' ')).not.toContain(String(pid))
  })

  it('[R9] [R20] kill_non_existent_workflow: says so, is recorded, and touches nobody', async () => {
    const world = current()
    const other = await world.start(['sleep', '1000'])
    await world.waitFor(() => markedProcesses(other).length > 0, 'a bystander')
    const before = markedProcesses(other)
    for (const input of [{}, { force: true }, { emergency: true }]) {
      expect(await world.kill({ runId: 'run_ffffffffffff', ...input })).toMatchObject({ __typename: 'RunNotFound' })
    }
    expect(markedProcesses(other)).toEqual(before)
    const { audit } = await world.ask('{ audit(first: 3) { edges { node { target outcome } } } }')
    for (const { node } of audit.edges) expect(node).toEqual({ target: 'run_ffffffffffff', outcome: 'RunNotFound' })
    await world.killed(other)
  })

  it('[R9] [M8] kill_already_completed_workflow: its end stands, and nobody who came after is touched', async () => {
    const world = current()
    const id = await world.start(['sh', '-c', 'exit 3'])
    await world.waitFor(async () => (await world.run(id)).cleanup.status === 'DONE', 'its end')
    const [before, events] = [await world.run(id), await world.types(id)]
    const other = await world.start(['sleep', '1000'])
    await world.waitFor(() => markedProcesses(other).length > 0, 'who came after')
    const alive = markedProcesses(other)
    for (const input of [{}, { force: true }, { emergency: true }]) {
      expect(await world.kill({ runId: id, ...input })).toMatchObject({
        __typename: 'AlreadyEnded',
        run: { id, status: 'FAILED' },
      })
    }
    expect(await world.run(id)).toEqual(before)
    expect(await world.types(id)).toEqual(events)
    expect(markedProcesses(other)).toEqual(alive)
    await world.killed(other)
  })

  it('[R9] [R20] kill_without_permissions: refused, recorded, and the run lives', async () => {
    const world = current()
    const id = await world.start(['sleep', '1000'])
    await world.waitFor(() => markedProcesses(id).length > 0, 'the run')
    const alive = markedProcesses(id)
    const document = 'mutation ($id: ID!) { killRun(input: { runId: $id, force: true }) { __typename } }'
    for (const token of [undefined, '', 'x', `${world.server.token}x`]) {
      const refused = await graphql(world.server.url, token, document, { id })
      expect(refused.data?.killRun, `with the token ${token}`).toBeUndefined()
      expect(refused.errors?.[0]?.extensions?.code).toBe('UNAUTHENTICATED')
    }
    expect(markedProcesses(id)).toEqual(alive)
    expect(await world.types(id)).not.toContain('KillRequested')
    await world.killed(id)
  })
}

function edges(current: () => SafetyWorld): void {
  it('[R10] 500 requests for one run from 50 clients at once are one kill', async () => {
    const world = current()
    const id = await world.start(['sh', '-c', 'trap "" TERM; while :; do sleep 0.05; done'])
    await world.waitFor(() => markedProcesses(id).length > 0, 'the run')
    const clients = Array.from({ length: 50 }, async () => {
      const outcomes: string[] = []
      for (let request = 0; request < 10; request += 1) {
        const answer = await world.kill({ runId: id, waitFor: 'ACCEPTED' })
        outcomes.push(
          answer.__typename === 'KillRunAnswer' ? (answer.joined ? 'joined' : 'accepted') : answer.__typename,
        )
      }
      return outcomes
    })
    const outcomes = (await Promise.all(clients)).flat()
    expect(outcomes.filter((outcome) => outcome === 'accepted')).toHaveLength(1)
    expect(outcomes.filter((outcome) => !['accepted', 'joined', 'AlreadyEnded'].includes(outcome))).toEqual([])
    await world.waitFor(async () => (await world.run(id)).cleanup.status === 'DONE', 'its end')
    world.expectGone(id)
    const types = await world.types(id)
    for (const type of ['KillRequested', 'SigtermSent', 'SigkillSent', 'RunKilled', 'RunCleaned'])
      expect(
        types.filter((each) => each === type),
        type,
      ).toHaveLength(1)
  })

  it('[R10] a peer that has gone silent in the middle of a transfer does not hold up a kill', async () => {
    const world = current()
    const api = await startSlowApi()
    try {
      const script = `
        const socket = require('node:net').connect(${api.port}, '127.0.0.1')
        socket.on('connect', () => { for (let n = 0; n < 400; n += 1) socket.write(Buffer.alloc(65_536)) })
        process.on('SIGTERM', () => socket.end(() => process.exit(0)))`
      const id = await world.start([process.execPath, '-e', script])
      await world.waitFor(() => api.open() === 1, 'the transfer')
      await world.killed(id)
      api.resume()
      await world.waitFor(() => api.open() === 0, 'the connection to be cut')
    } finally {
      await api.close()
    }
  })

  it('[R11] the four ceilings: graceful 5 s, forced 2 s, cleanup 10 s, monitoring 5 % of a core', async () => {
    const world = current()
    const [deaf, other] = [
      await world.start(['sh', '-c', 'trap "" TERM; while :; do sleep 0.05; done']),
      await world.start(['sleep', '1000']),
    ]
    await world.waitFor(() => [deaf, other].every((id) => markedProcesses(id).length > 0), 'two runs')
    const took = async (id: string, input: object) => {
      const { run } = await world.killed(id, input)
      const { requestedAt, provenAt } = run.receipt.json.timings
      const { runEvents } = await world.ask(
        'query ($id: ID!) { runEvents(id: $id, first: 500) { edges { node { type occurredAt } } } }',
        { id },
      )
      const at = (type: string) =>
        Date.parse(runEvents.edges.find(({ node }: { node: { type: string } }) => node.type === type).node.occurredAt)
      return { killMs: Date.parse(provenAt) - Date.parse(requestedAt), cleanupMs: at('RunCleaned') - at('RunKilled') }
    }
    const graceful = await took(deaf, {})
    const forced = await took(other, { force: true })
    expect(graceful.killMs).toBeLessThan(5_000)
    expect(forced.killMs).toBeLessThan(2_000)
    expect(Math.max(graceful.cleanupMs, forced.cleanupMs)).toBeLessThan(10_000)

    const watched = await Promise.all(Array.from({ length: 10 }, () => world.start(['sleep', '1000'])))
    await world.waitFor(() => watched.every((id) => markedProcesses(id).length > 0), 'ten runs to watch')
    expect(await cpuShareOf(world.server.identity.pid, 5_000)).toBeLessThan(0.05)
    await Promise.all(watched.map((id) => world.killed(id, { force: true })))
  })
}

const commits = (git: (...args: string[]) => string) => {
  try {
    return Number(git('rev-list', '--count', 'main'))
  } catch {
    return 0
  }
}

/** Live processes that have a file of the directory open. */
const holdersOf = (directory: string) =>
  readdirSync('/proc').filter(
    (name) => /^\d+$/.test(name) && openFiles(name).some((path) => path.startsWith(directory)),
  )

function openFiles(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
  } catch {
    // It has gone, or closed a file, meanwhile.
    return []
  }
}

/** The server's own PostgreSQL stands in for a run's: who has the account of the server may use it. */
function connectionOf(world: SafetyWorld) {
  const lines = readFileSync(join(world.server.dataDirectory, 'postgres/cluster/postmaster.pid'), 'utf8').split('\n')
  return { host: lines[4], port: 5432, user: 'runwarden', database: 'postgres' }
}

/** Asks as the account of the server, which is the only one that is let in. */
function databaseOf(world: SafetyWorld) {
  const program = join(import.meta.dirname, '../programs/query.ts')
  const account = { uid: world.uid, gid: world.uid }
  return (sql: string) =>
    JSON.parse(
      execFileSync(process.execPath, [program, JSON.stringify(connectionOf(world)), sql], {
        ...account,
        encoding: 'utf8',
        env: { PATH: process.env.PATH, HOME: world.scratch },
      }),
    )
}

async function untilWritten(world: SafetyWorld, path: string): Promise<string> {
  await world.waitFor(() => existsSync(path) && statSync(path).size > 0, `${path} to be written`)
  return readFileSync(path, 'utf8')
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })

/** Of one process over a while: its share of one core, 0 to 1 and more. */
async function cpuShareOf(pid: number, whileMs: number): Promise<number> {
  const cpuMs = () => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [utime = 0, stime = 0] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
      .map(Number)
    return (utime + stime) * 10
  }
  const before = cpuMs()
  await delay(whileMs)
  return (cpuMs() - before) / whileMs
}
