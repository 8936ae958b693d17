import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readIdentity } from '../../../src/os/process-identity.ts'
import { spawnCli } from '../../support/cli.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

let temporary: ReturnType<typeof makeTemporaryDirectory>
let progress: string
beforeEach(() => {
  temporary = makeTemporaryDirectory()
  progress = join(temporary.path, 'progress.jsonl')
})
afterEach(() => temporary.remove())

const lines = () =>
  readFileSync(progress, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
const section = (argv: string[], env: Record<string, string> = { RUNWARDEN_PROGRESS: progress }) =>
  spawnCli(['section', '--kind', 'git_operations', ...argv], env)

it('[R7] says when it enters and leaves; the command has the same streams, and its exit status is kept', async () => {
  const { code, stdout, stderr } = await section([
    ...['--expect', '4s', '--', 'sh', '-c', `cat ${progress}; echo out; echo err >&2; exit 7`, '--token=hush'],
  ]).ended
  expect({ code, stderr }).toEqual({ code: 7, stderr: 'err\n' })
  const [enter, exit] = lines()
  expect(stdout).toBe(`${JSON.stringify(enter)}\nout\n`)
  expect(enter.enter).toMatchObject({
    kind: 'git_operations',
    expectedMs: 4_000,
    detail: expect.stringMatching(/^sh -c /),
  })
  expect(enter.enter.detail).not.toContain('hush')
  expect(exit).toEqual({ exit: { id: enter.enter.id } })
})

it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  '[R7] passes %s on, and ends by it as the command does',
  async (signal) => {
    const started = join(temporary.path, 'started')
    const running = section(['--', 'sh', '-c', `touch ${started}; exec sleep 1000`])
    await waitUntil(() => existsSync(started), 'the command')
    running.child.kill(signal)
    await running.ended
    expect(running.child.signalCode).toBe(signal)
    expect(lines()).toHaveLength(2)
  },
)

it('[R7] a command that minds the signal decides itself how it ends', async () => {
  const started = join(temporary.path, 'started')
  const running = section(['--', 'sh', '-c', `trap 'exit 5' TERM; touch ${started}; while :; do sleep 0.05; done`])
  await waitUntil(() => existsSync(started), 'the command')
  running.child.kill('SIGTERM')
  expect((await running.ended).code).toBe(5)
})

it('[R7] outside of a run it says so, and runs the command', async () => {
  const outside = await section(['--', 'sh', '-c', 'echo done; exit 3'], {}).ended
  expect(outside).toMatchObject({ code: 3, stdout: 'done\n' })
  expect(outside.stderr).toContain('not protected as a critical section: this is no run of Runwarden')
  mkdirSync(progress)
  const unwritable = await section(['--', 'echo', 'done']).ended
  expect(unwritable).toMatchObject({ code: 0, stdout: 'done\n', stderr: expect.stringContaining('EISDIR') })
})

it('[R7] a command that cannot be started ends as in a shell, and the section is over', async () => {
  const none = await section(['--', '/nonexistent/command']).ended
  expect(none).toMatchObject({ code: 127, stderr: expect.stringContaining('/nonexistent/command') })
  const directory = await section(['--', temporary.path]).ended
  expect(directory.code).toBe(126)
  expect(lines().filter((line) => 'enter' in line)).toHaveLength(2)
  expect(lines().filter((line) => 'exit' in line)).toHaveLength(2)
})

it('[R7] names the process that a host can watch', async () => {
  const running = section(['--', 'sleep', '1000'])
  const [{ enter }] = await waitUntil(() => existsSync(progress) && lines().length > 0 && lines(), 'the section')
  expect(enter.pid).toBe(running.child.pid)
  expect(readIdentity(enter.pid)).toBeDefined()
  running.child.kill('SIGTERM')
  await running.ended
})

it('[R40] needs a kind that there is, and a command', async () => {
  const bad = await spawnCli(['section', '--kind', 'lunch', '--', 'true'], {}).ended
  expect(bad).toMatchObject({ code: 2, stderr: expect.stringContaining('git_operations') })
  expect((await spawnCli(['section', '--', 'true'], {}).ended).code).toBe(2)
  expect((await section([]).ended).code).toBe(2)
})
