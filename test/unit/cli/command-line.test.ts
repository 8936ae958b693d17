import { createServer } from 'node:net'
import { expect, it } from 'vitest'
import type { DoctorCheck, DownResult, UpResult } from '../../../src/cli/composed.ts'
import { cli } from '../../support/cli.ts'

it('[R40] --version and --help go to stdout and end well; every command explains itself with an example', async () => {
  expect(await cli(['--version'])).toEqual({ code: 0, stdout: '1.2.3\n', stderr: '' })
  const help = await cli(['--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  const names = [...help.stdout.matchAll(/^ {2}([a-z]+)(?: \[| <|\s{2,})/gm)].map((match) => match[1])
  expect(names).toContain('kill')
  for (const name of names.filter((name) => !['help', 'projections', 'workflow'].includes(name ?? ''))) {
    const { code, stdout } = await cli([name as string, '--help'])
    expect({ name, code }).toEqual({ name, code: 0 })
    expect(stdout).toMatch(/Examples:\n {2}\$ /)
  }
})

it('[R40] an unknown command or option is a usage error, with what was probably meant', async () => {
  expect(await cli(['kil', 'run_0123456789ab'])).toMatchObject({ code: 2, stdout: '' })
  expect((await cli(['kil', 'run_0123456789ab'])).stderr).toContain('Did you mean kill?')
  const option = await cli(['ls', '--jsno'])
  expect(option.code).toBe(2)
  expect(option.stderr).toContain('Did you mean --json?')
})

it.each([
  [[], ''],
  [['kill'], "missing required argument 'run'"],
  [['run'], 'give a command after --, or the --workflow to start'],
  [['run', '--workflow-version', '0', '--workflow', 'A'], 'whole number from 1'],
  [['restart', 'run_0123456789ab', '--definition', 'newest'], 'recorded, current'],
  [['workflow'], ''],
  [['workflow', 'define', 'A'], "missing required argument 'command'"],
  [['workflow', 'define', 'A', '--grace', '-1s', '--', 'true'], '300ms, 5s, 2m'],
  [['workflow', 'define', 'A', '--policy', 'lenient', '--', 'true'], 'standard, strict'],
  [['workflow', 'show', 'A', '--version', 'x'], 'whole number from 1'],
  [['run', '--grace', '5', '--', 'true'], '300ms, 5s, 2m'],
  [['run', '--env', 'NOVALUE', '--', 'true'], 'NAME=value'],
  [['run', '--temporary', '--cwd', '/', '--', 'true'], 'cannot be used with'],
  [['kill', 'run_0123456789ab', '--wait', 'forever'], 'accepted, killed, cleaned'],
  [['ls', '--status', 'DEAD'], 'KILL_UNVERIFIED'],
  [['ls', '--limit', '0'], 'whole number from 1'],
  [['register', '1'], 'whole number from 2'],
  [['up', '--port', '99999'], '65535'],
  [['ls', '--url', 'localhost:4680'], 'no URL of a server'],
  [['projections'], ''],
])('[R40] usage error: runwarden %j', async (argv, message) => {
  const { code, stdout, stderr } = await cli(argv as string[])
  expect(code).toBe(2)
  expect(stdout).toBe('')
  expect(stderr).toContain(message)
})

it('[R40] a relative data directory is refused with the way out', async () => {
  const { code, stderr } = await cli(['ls'], { env: { RUNWARDEN_DATA_DIR: 'data' } })
  expect(code).toBe(2)
  expect(stderr).toContain('absolute path')
})

it('[R40] nobody listens: exit 6, the address, and how to start the server', async () => {
  const port = await unusedPort()
  const { code, stdout, stderr } = await cli(['ls'], { env: { RUNWARDEN_PORT: String(port) } })
  expect(code).toBe(6)
  expect(stdout).toBe('')
  expect(stderr).toContain(`http://127.0.0.1:${port} refuses the connection: is the server running?`)
  expect(stderr).toContain('runwarden up')
})

it('[R40] up passes its options on, and ends with what came of it', async () => {
  const asked: unknown[] = []
  const up = async (options: unknown): Promise<UpResult> => {
    asked.push(options)
    return { type: 'stopped' }
  }
  expect((await cli(['up'], { composed: { up } })).code).toBe(0)
  await cli(['up', '--port', '0', '--address', '::1', '--capacity', '4', '--take-over'], { composed: { up } })
  expect(asked).toEqual([{ takeOver: false }, { port: 0, address: '::1', capacity: 4, takeOver: true }])

  const refused = async (): Promise<UpResult> => ({
    type: 'refused',
    reason: 'conflict',
    message: 'Port 4680 is in use.',
    wayOut: 'Choose another with --port.',
  })
  expect(await cli(['up'], { composed: { up: refused } })).toEqual({
    code: 5,
    stdout: '',
    stderr: 'runwarden: Port 4680 is in use.\nChoose another with --port.\n',
  })
})

it.each<[DownResult, number]>([
  [{ type: 'stopped', pid: 77 }, 0],
  [{ type: 'not-running', detail: 'nobody owns the data directory' }, 0],
  [{ type: 'timeout', pid: 77, message: 'still there after 30 s' }, 124],
  [{ type: 'refused', message: 'its owner is another user' }, 5],
])('[R40] down: %j ends with %i', async (result, code) => {
  const down = async () => result
  expect((await cli(['down'], { composed: { down } })).code).toBe(code)
  const json = await cli(['down', '--json', '--timeout', '2s'], { composed: { down } })
  expect(JSON.parse(json.stdout)).toEqual(result)
})

it('[R40] doctor says what is wrong and what to do, and fails only when something fails', async () => {
  const checks: DoctorCheck[] = [
    { name: 'Node.js', status: 'ok', detail: '24.21.0' },
    { name: 'cgroups', status: 'warn', detail: 'not writable', wayOut: 'mount cgroup2' },
  ]
  const warned = await cli(['doctor'], { composed: { doctor: async () => checks } })
  expect(warned).toMatchObject({ code: 0, stderr: '' })
  expect(warned.stdout).toBe('ok    Node.js  24.21.0\nwarn  cgroups  not writable\n               → mount cgroup2\n')
  const failing: DoctorCheck[] = [...checks, { name: 'disk', status: 'fail', detail: 'full' }]
  const failed = await cli(['doctor', '--json'], { composed: { doctor: async () => failing } })
  expect(failed.code).toBe(1)
  expect(
    failed.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(failing)
})

/** A port that was free a moment ago. */
async function unusedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
