import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isAlive, readStat } from '../../../src/os/process-identity.ts'
import { findBinaryPackage } from '../../../src/postgres/binaries.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/postgres/embedded.ts'
import { stopPostmaster, whoServes } from '../../../src/postgres/postmaster.ts'
import { type Program, startProgram } from '../../support/program.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const isRoot = process.getuid?.() === 0
/** The machine may be busy with other things. */
const patience = { timeout: 20_000 }
const nobody = { uid: 65534, gid: 65534 }

describe('embedded PostgreSQL', () => {
  let template: ReturnType<typeof makeTemporaryDirectory>
  let directory: ReturnType<typeof makeTemporaryDirectory>
  let dataDirectory: string
  let programs: Program[]
  const cluster = () => join(dataDirectory, 'postgres', 'cluster')

  beforeAll(async () => {
    template = makeTemporaryDirectory()
    await (await startEmbeddedPostgres({ dataDirectory: template.path })).stop()
  })
  afterAll(() => template.remove())

  /** Data that were made before: a copy takes a tenth of the time. */
  const takeTemplate = () => execFileSync('cp', ['-a', join(template.path, 'postgres'), dataDirectory])

  beforeEach(() => {
    directory = makeTemporaryDirectory()
    dataDirectory = directory.path
    programs = []
  })
  afterEach(async () => {
    await Promise.all(programs.map((program) => program.end('SIGKILL')))
    const serving = whoServes(cluster())
    if (serving.state === 'running') await stopPostmaster(serving.identity)
    directory.remove()
  })

  const start = () => startEmbeddedPostgres({ dataDirectory })
  const refusal = () =>
    start().then(
      () => expect.unreachable('it started'),
      (error) => error,
    )

  it('is made, started, stopped, and started again with its data', async () => {
    const first = await start()
    expect(first.adopted).toBe(false)
    await query(first, 'create table kept as select 42 as answer')
    await first.stop()
    await first.stop()
    expect(await first.exited).toEqual({ code: 0, signal: null })
    expect(isAlive(first.identity)).toBe(false)

    const second = await start()
    expect(second.adopted).toBe(false)
    expect(await query(second, 'select answer from kept')).toEqual([{ answer: 42 }])
    await second.stop()
  })

  it('is durable, and listens on no network', async () => {
    takeTemplate()
    const postgres = await start()
    expect(
      await query(
        postgres,
        `select current_setting('listen_addresses') as addresses, current_setting('fsync') as fsync,
           current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as pages,
           current_setting('data_checksums') as checksums, current_setting('server_encoding') as encoding`,
      ),
    ).toEqual([{ addresses: '', fsync: 'on', commit: 'on', pages: 'on', checksums: 'on', encoding: 'UTF8' }])
    expect(readStat(postgres.identity.pid)?.session, 'a session of its own').toBe(postgres.identity.pid)
    await postgres.stop()
  })

  it('[R14] is adopted, with its data, when the process that started it was killed', async () => {
    takeTemplate()
    const parent = startServer()
    const first = await parent.next()
    expect(first).toMatchObject({ adopted: false })
    await query(first, 'create table kept as select 42 as answer')
    await parent.end('SIGKILL')

    const second = await start()
    expect(second).toMatchObject({ adopted: true, identity: first.identity, connection: first.connection })
    expect(await query(second, 'select answer from kept')).toEqual([{ answer: 42 }])
    await second.stop()
    await second.exited
    expect(isAlive(second.identity)).toBe(false)
  })

  it('[R14] says when its postmaster has died, and starts again with every acknowledged row', async () => {
    takeTemplate()
    const first = await start()
    await query(first, 'create table kept as select 42 as answer')
    process.kill(first.identity.pid, 'SIGKILL')
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' })
    const second = await start()
    expect(second.adopted).toBe(false)
    expect(await query(second, 'select answer from kept')).toEqual([{ answer: 42 }])
    await second.stop()
  })

  it('starts where the pid of a killed postmaster belongs to a stranger now, and leaves the stranger alone', async () => {
    takeTemplate()
    const first = await start()
    process.kill(first.identity.pid, 'SIGKILL')
    await first.exited
    // Of the same account: PostgreSQL takes any such process for a running server.
    const { uid, gid } = statSync(cluster())
    const stranger = spawn('sleep', ['60'], isRoot ? { uid, gid } : {})
    for (const path of [join(cluster(), 'postmaster.pid'), join(first.connection.host, '.s.PGSQL.5432.lock')])
      writeFileSync(path, readFileSync(path, 'utf8').replace(/^\d+/, String(stranger.pid)))
    try {
      expect(whoServes(cluster())).toMatchObject({ state: 'stranger', identity: { pid: stranger.pid } })
      const second = await start()
      expect(second.adopted).toBe(false)
      expect(readStat(stranger.pid ?? 0)?.state).toBe('S')
      await second.stop()
    } finally {
      stranger.kill('SIGKILL')
      await once(stranger, 'exit')
    }
  })

  it('neither adopts nor disturbs a server that somebody started by hand on its data', async () => {
    takeTemplate()
    const first = await start()
    const { host } = first.connection
    await first.stop()
    const program = join(dirname((await findBinaryPackage()).directory), 'native', 'bin', 'postgres')
    mkdirSync(host, { mode: 0o711 })
    const { uid, gid } = statSync(cluster())
    if (isRoot) chownSync(host, uid, gid)
    const byHand = spawn(program, ['-c', 'listen_addresses=', '-c', `unix_socket_directories=${host}`], {
      ...(isRoot ? { uid, gid } : {}),
      env: { PGDATA: cluster() },
      stdio: 'ignore',
    })
    try {
      await expect.poll(() => existsSync(join(host, '.s.PGSQL.5432')), patience).toBe(true)
      expect(whoServes(cluster())).toMatchObject({ state: 'unclear', identity: { pid: byHand.pid } })
      expect(await refusal()).toMatchObject({
        code: 'START_FAILED',
        message: expect.stringContaining(`(pid ${byHand.pid})`),
      })
      expect(byHand.exitCode).toBe(null)
    } finally {
      byHand.kill('SIGQUIT')
      await once(byHand, 'exit')
    }
  })

  it('[R14] waits for what is left of a killed server: its zombie, and a backend that still holds the memory', async () => {
    takeTemplate()
    const parent = startServer()
    const first = await parent.next()
    const client = new pg.Client(first.connection)
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query('select pg_backend_pid() as pid')
    const backend = rows[0].pid
    // Nobody collects the postmaster's exit, and the backend does not notice it.
    process.kill(parent.pid, 'SIGSTOP')
    process.kill(backend, 'SIGSTOP')
    process.kill(first.identity.pid, 'SIGKILL')
    await expect.poll(() => whoServes(cluster()).state, patience).toBe('dead')

    let started = false
    const starting = start().then((postgres) => {
      started = true
      return postgres
    })
    const log = join(dataDirectory, 'postgres', 'server.log')
    await expect.poll(() => readFileSync(log, 'utf8'), patience).toContain('pre-existing shared memory block')
    expect(started).toBe(false)
    process.kill(backend, 'SIGCONT')
    const second = await starting
    expect(second.adopted).toBe(false)
    await second.stop()
    await client.end()
  })

  it('is made anew when its making was interrupted by kill -9', async () => {
    const home = join(dataDirectory, 'postgres')
    const unfinished = () =>
      existsSync(home) ? readdirSync(home).filter((name) => name.startsWith('initializing-')) : []
    const parent = startServer()
    await expect.poll(() => unfinished().some((name) => existsSync(join(home, name, 'base'))), patience).toBe(true)
    await parent.end('SIGKILL')
    expect(existsSync(cluster())).toBe(false)

    const postgres = await start()
    expect(await query(postgres, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(unfinished()).toEqual([])
    await postgres.stop()
  })

  it('leaves nothing running when it is aborted', async () => {
    const abort = new AbortController()
    const starting = startEmbeddedPostgres({ dataDirectory, signal: abort.signal })
    await expect.poll(() => existsSync(join(dataDirectory, 'postgres')), patience).toBe(true)
    abort.abort(new Error('enough'))
    await expect(starting).rejects.toThrow('enough')
    expect(whoServes(cluster()).state).toBe('nobody')
  })

  it('refuses data of another major version, and changes nothing', async () => {
    mkdirSync(cluster(), { recursive: true, mode: 0o700 })
    if (isRoot) chownSync(cluster(), nobody.uid, nobody.gid)
    writeFileSync(join(cluster(), 'PG_VERSION'), '17\n')
    expect(await refusal()).toMatchObject({
      code: 'OTHER_MAJOR_VERSION',
      message: expect.stringMatching(/written by PostgreSQL 17; this Runwarden brings 18.*RUNWARDEN_DATA_DIR/s),
    })
    writeFileSync(join(cluster(), 'PG_VERSION'), '19\n')
    expect(await refusal()).toMatchObject({ code: 'NEWER_MAJOR_VERSION' })
    expect(readdirSync(cluster())).toEqual(['PG_VERSION'])
  })

  it('says why PostgreSQL itself did not start', async () => {
    takeTemplate()
    const first = await start()
    await first.stop()
    appendFileSync(join(cluster(), 'postgresql.conf'), 'no_such_setting = 1\n')
    expect(await refusal()).toMatchObject({
      code: 'START_FAILED',
      message: expect.stringContaining('unrecognized configuration parameter "no_such_setting"'),
    })
  })

  it('puts the socket elsewhere when the data lie too deep for one', async () => {
    dataDirectory = join(directory.path, 'd'.repeat(100))
    mkdirSync(dataDirectory, { mode: 0o711 })
    takeTemplate()
    const postgres = await start()
    expect(postgres.connection.host).not.toContain(dataDirectory)
    expect(statSync(postgres.connection.host).mode & 0o777).toBe(0o700)
    expect(await query(postgres, 'select 1 as one')).toEqual([{ one: 1 }])
    await postgres.stop()
    expect(existsSync(postgres.connection.host), 'and takes it away').toBe(false)
  })

  it.skipIf(!isRoot)('refuses a directory that its account cannot reach, before it writes there', async () => {
    chmodSync(directory.path, 0o700)
    dataDirectory = join(directory.path, 'data')
    mkdirSync(dataDirectory, { mode: 0o711 })
    expect(await refusal()).toMatchObject({
      code: 'DATA_DIRECTORY_UNREACHABLE',
      message: expect.stringContaining(`may not enter ${directory.path},`),
    })
    expect(existsSync(cluster())).toBe(false)
  })

  it.skipIf(!isRoot)(
    '[R10] refuses a full disk, leaves nothing half-done, and starts once there is space',
    async () => {
      dataDirectory = join(directory.path, 'disk')
      mkdirSync(dataDirectory)
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=90m,mode=0711', 'runwarden-test', dataDirectory])
      try {
        const filler = join(dataDirectory, 'filler')
        writeFileSync(filler, Buffer.alloc(75 * 1024 * 1024))
        expect(await refusal()).toMatchObject({
          code: 'DISK_FULL',
          message: expect.stringMatching(/No space left.*Free some/),
        })
        expect(readdirSync(join(dataDirectory, 'postgres'))).toEqual([])

        rmSync(filler)
        const postgres = await start()
        await query(postgres, 'create table kept as select 42 as answer')
        await postgres.stop()
      } finally {
        execFileSync('umount', ['--lazy', dataDirectory])
      }
    },
  )

  it.skipIf(!isRoot)('runs as an ordinary user too', async () => {
    chownSync(directory.path, nobody.uid, nobody.gid)
    const server = startServer(nobody)
    const postgres = await server.next()
    expect(postgres).toMatchObject({ adopted: false, account: 'nobody' })
    expect(statSync(`/proc/${postgres.identity.pid}`).uid).toBe(nobody.uid)
    await server.end('SIGTERM')
    expect(isAlive(postgres.identity)).toBe(false)
  })

  it.skipIf(!isRoot)('lets no other account in, even where the socket is within its reach', async () => {
    takeTemplate()
    const postgres = await start()
    const { host, user } = postgres.connection
    const knock = async () => {
      const agent = startProgram('connect.ts', [host, user], nobody)
      programs.push(agent)
      return agent.next()
    }
    expect(await knock()).toMatchObject({ code: 'EACCES' })
    chmodSync(host, 0o711)
    chmodSync(join(host, '.s.PGSQL.5432'), 0o777)
    expect(await knock()).toMatchObject({ message: expect.stringContaining('Peer authentication failed') })
    await postgres.stop()
  })

  function startServer(account: { uid?: number; gid?: number } = {}): Program {
    const server = startProgram('embedded-postgres.ts', [dataDirectory], account)
    programs.push(server)
    return server
  }
})

async function query({ connection }: Pick<EmbeddedPostgres, 'connection'>, sql: string): Promise<unknown[]> {
  const client = new pg.Client(connection)
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
