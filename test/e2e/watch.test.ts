import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { cli, spawnCli } from '../support/cli.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { entered, left, linesOf } from '../support/fake-terminal.ts'
import { hasPseudoTerminal, onPseudoTerminal } from '../support/pseudo-terminal.ts'
import { databaseUrlOf, makeServerDirectory, startTestServer, type TestServer } from '../support/server.ts'
import { waitUntil } from '../support/wait-until.ts'

/** The live table against a real server and real runs. */
const directory = makeServerDirectory()
let database: TestDatabase
let server: TestServer
const start = (port = '0') =>
  startTestServer({
    dataDirectory: directory.path,
    env: { DATABASE_URL: databaseUrlOf(database), RUNWARDEN_PORT: port },
  })

beforeAll(async () => {
  database = await createTestDatabase()
  server = await start()
})
afterAll(async () => {
  await server?.stop()
  await directory.remove()
  await database?.drop()
})

const env = () => ({ RUNWARDEN_URL: server.url, RUNWARDEN_TOKEN: server.token, RUNWARDEN_DATA_DIR: directory.path })
const runwarden = async (...argv: string[]) => {
  const { code, stdout, stderr } = await cli(argv, { env: env() })
  expect(code, stderr).toBe(0)
  return stdout.trim()
}
async function startRun(script: string): Promise<string> {
  const id = await runwarden('run', '--workflow', 'BUILDER', '--temporary', '--', 'sh', '-c', script)
  onTestFinished(async () => {
    const { code, stderr } = await cli(['kill', id, '--force'], { env: env() })
    // 5: it had ended already.
    expect([0, 5], stderr).toContain(code)
  })
  return id
}

it('[R23] [R40] tells of each change, across a restart of the server, and ends with the run', async () => {
  const id = await startRun('echo working; exec sleep 1000')
  const watch = spawnCli(['watch', id, '--json'], env(), 120_000)
  const rows = () =>
    watch
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line || '{}'))
  const until = (what: string, seen: () => boolean) =>
    waitUntil(seen, what, 60_000, () => watch.stdout() + watch.stderr())
  await until('the output of the run', () => rows().some(({ lastOutput }) => lastOutput === 'working'))

  await server.crash()
  await until('the loss to be told', () => watch.stderr().includes('connection to the server is lost'))
  server = await start(new URL(server.url).port)
  await until('the return to be told', () => watch.stderr().includes('The server is back.'))

  await runwarden('kill', id, '--force')
  const { code, stdout } = await watch.ended
  expect(code).toBe(0)
  const statuses = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).status)
  expect(statuses.at(-1)).toBe('KILLED')
  expect(statuses.slice(0, -1)).not.toContain('KILLED')
}, 150_000)

it.skipIf(!hasPseudoTerminal)(
  '[R40] on a real terminal: painted in place, resized, and given back as it was',
  async () => {
    const id = await startRun('echo "hello from the run"; exec sleep 1000')
    const entry = join(import.meta.dirname, '../support/cli-entry.ts')
    const line = `stty rows 20 cols 100; stty -g; tty; ${process.execPath} ${entry} watch; echo "ended $?"; stty -g`
    const terminal = onPseudoTerminal(line, { ...env(), NO_COLOR: '1' })
    onTestFinished(() => void terminal.child.kill())
    const shows = (text: string | RegExp) =>
      waitUntil(() => linesOf(terminal.written()).join('\n').match(text) !== null, `${text}`, 30_000, terminal.written)
    await shows(new RegExp(`${id} .*RUNNING.*hello`))
    const device = /\/dev\/pts\/\d+/.exec(terminal.written())?.[0] ?? 'no device'
    const resize = onPseudoTerminal(`stty -F ${device} rows 10 cols 40`, {})
    expect(await resize.ended).toBe(0)
    await shows(/RUN +STATUS +VERDICT +AGE$/m)
    terminal.type('q')
    expect(await terminal.ended).toBe(0)
    const written = terminal.written().replaceAll('\r\n', '\n')
    const [modesBefore] = written.split('\n')
    expect(written.split(entered)).toHaveLength(2)
    const afterwards = written.slice(written.indexOf(left) + left.length)
    expect(afterwards).toContain('ended 0\n')
    expect(afterwards.trim().split('\n').at(-1)).toBe(modesBefore)
    expect(afterwards).toContain(id)
  },
  90_000,
)
