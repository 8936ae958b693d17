import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LaunchSpec } from '../../../src/domain/launch.ts'
import { isRunning } from '../../../src/host/process-table.ts'
import { readIdentity } from '../../../src/os/process-identity.ts'
import { createHostWorld, type HostWorld } from '../../support/host-world.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const isRoot = process.getuid?.() === 0

describe('a launch', () => {
  let world: HostWorld
  beforeEach(async () => {
    const environment = { LANG: 'C.UTF-8', AGENT_KEY: 'the-secret-value', OTHER: 'not for runs' }
    world = await createHostWorld({ forbiddenAccounts: ['daemon'], environment })
  })
  afterEach(() => world.end())

  it('[R12] a run gets a clean environment, its secrets, and nothing of them is kept', async () => {
    const env = { FOO: `a b'c"$x\nnext`, PATH: '/usr/bin:/bin' }
    const run = await world.launch(['env', '-0'], { env, secretEnv: ['AGENT_KEY'], prompt: 'do it' })
    await world.fact(run.runId, 'RunCleaned')
    const variables = Object.fromEntries(
      (await world.output(run.runId)).split('\0').flatMap((pair) => {
        const at = pair.indexOf('=')
        return at < 0 ? [] : [[pair.slice(0, at), pair.slice(at + 1)]]
      }),
    )
    expect(Object.keys(variables).sort()).toEqual([
      ...[
        'AGENT_KEY',
        'FOO',
        'HOME',
        'LANG',
        'PATH',
        'RUNWARDEN_HOST_ID',
        'RUNWARDEN_PROGRESS',
        'RUNWARDEN_PROMPT',
        'RUNWARDEN_RUN_ID',
      ],
      ...['RUNWARDEN_WORKSPACE', 'TMPDIR', 'USER'],
    ])
    expect(variables).toMatchObject({ ...env, AGENT_KEY: 'the-secret-value', RUNWARDEN_PROMPT: 'do it' })
    for (const file of ['facts.jsonl', 'ladder.jsonl', 'desired.json', 'launch']) {
      expect(readFileSync(join(world.directory(run.runId), file), 'utf8')).not.toContain('the-secret-value')
    }
  })

  it.each([
    ['EXECUTABLE_NOT_FOUND', ['no-such-program'], {}],
    ['EXECUTABLE_NOT_FOUND', ['/etc/passwd'], {}],
    ['EXECUTABLE_NOT_FOUND', ['/etc'], {}],
    ['WORKSPACE_MISSING', ['true'], { workspace: { kind: 'EXISTING', path: '/no/such/place' } }],
    ['WORKSPACE_NOT_A_DIRECTORY', ['true'], { workspace: { kind: 'EXISTING', path: '/etc/passwd' } }],
    ['SECRET_MISSING', ['true'], { secretEnv: ['NO_SUCH_SECRET'] }],
    ...(isRoot
      ? ([
          ['ACCOUNT_UNKNOWN', ['true'], { runAs: 'no_such_account' }],
          ['ACCOUNT_FORBIDDEN', ['true'], { runAs: 'daemon' }],
        ] as const)
      : []),
  ] as [string, string[], Partial<LaunchSpec>][])(
    '[R12] fails with %s for %j %j, and nothing ran',
    async (code, command, launch) => {
      const run = await world.launch(command, launch)
      const failure = await world.fact(run.runId, 'LaunchFailed')
      expect(failure.code).toBe(code)
      expect(failure.message.length).toBeGreaterThan(10)
      await world.fact(run.runId, 'RunCleaned')
      expect(world.types(run.runId)).not.toContain('RunStarted')
      expect((await world.host.report()).slots.used).toBe(0)
    },
  )

  it.runIf(isRoot)('[R12] runAs: only the child changes account; its workspace is its own', async () => {
    const run = await world.launch(['sh', '-c', 'id -un; touch mine; echo "$HOME"; echo error >>/dev/stderr'], {
      runAs: 'nobody',
    })
    await world.fact(run.runId, 'RunCleaned')
    expect(await world.output(run.runId)).toBe('nobody\n/nonexistent\nerror\n')
    expect(world.kept(run.runId, 'mine')).toBe('')
    expect(existsSync(world.workspace(run.runId))).toBe(false)
    const closed = join(world.hostDirectory, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    const refused = await world.launch(['true'], { runAs: 'nobody', workspace: { kind: 'EXISTING', path: closed } })
    expect((await world.fact(refused.runId, 'LaunchFailed')).code).toBe('WORKSPACE_UNREADABLE')
  })

  it.each([
    ['exit 0', 0],
    ['exit 3', 3],
    ['kill -SEGV $$', 139],
  ])('[R12] %s is recorded as %i', async (script, status) => {
    const run = await world.launch(['sh', '-c', `ulimit -c 0; ${script}`])
    expect((await world.fact(run.runId, 'ProcessExited')).status).toBe(status)
    await world.fact(run.runId, 'RunCleaned')
  })

  it('[R12] beyond the capacity runs wait in the order of their requests', async () => {
    await world.restart({ capacity: 1 })
    const file = join(world.hostDirectory, 'order')
    const runs = [1, 2, 3].map((name) => world.desired(['sh', '-c', `sleep 0.1; echo ${name} >>${file}`]))
    const [first, second, third] = runs
    if (!first || !second || !third) throw new Error('three runs')
    await world.host.want(first)
    await world.host.want(third)
    await world.host.want(second)
    for (const { runId } of runs) await world.fact(runId, 'RunCleaned')
    expect(readFileSync(file, 'utf8')).toBe('1\n2\n3\n')
  })

  it('[R12] [R26] progress and output are told, a bad line once, a cut output as a gap', async () => {
    const run = await world.launch([
      'sh',
      '-c',
      'p=$RUNWARDEN_PROGRESS; echo "bad" >>$p; echo "{\\"turn\\":1,\\"phase\\":\\"build\\",\\"progress\\":40}" >>$p; echo "worse" >>$p; ' +
        'printf "one\\n\\033[31mtwo\\033[0m token=abcdefgh\\n"; until [ -e go ]; do sleep 0.02; done; : >/dev/stderr; echo after; sleep 1000',
    ])
    expect((await world.fact(run.runId, 'TurnCompleted')).turn).toBe(1)
    expect((await world.fact(run.runId, 'PhaseChanged')).phase).toBe('build')
    const heartbeats = () =>
      world.ofRun(run.runId).flatMap(({ body }) => (body.type === 'HeartbeatRecorded' ? body.data : []))
    await waitUntil(() => heartbeats().some(({ lastOutput }) => lastOutput === 'two token=[redacted]'), 'the last line')
    writeFileSync(join(world.workspace(run.runId), 'go'), '')
    await waitUntil(() => heartbeats().some(({ lastOutput }) => lastOutput === 'after'), 'the line after the cut')
    const notices = heartbeats().flatMap((heartbeat) => heartbeat.notices ?? [])
    expect(notices.map(({ code }) => code).sort()).toEqual(['BAD_PROGRESS_LINE', 'OUTPUT_GAP'])
    // A look in between one sleep and the next may see both.
    await waitUntil(() => heartbeats().at(-1)?.processes === 2, 'the shell and its sleep')
    expect(heartbeats().at(-1)).toMatchObject({ progressPercent: 40 })
    await world.kill(run)
    await world.fact(run.runId, 'RunCleaned')
  })

  it('[R26] output past its cap is moved away; offsets go on', async () => {
    await world.restart({ outputCapBytes: 10_000 })
    const run = await world.launch([
      'sh',
      '-c',
      'i=0; while [ $i -lt 40 ]; do i=$((i+1)); printf "%0999d\\n" $i; sleep 0.02; done',
    ])
    await world.fact(run.runId, 'RunCleaned')
    const end = await world.host.readOutput(run.runId, 40_000, 10)
    expect(end).toMatchObject({ offset: 40_000, ended: true })
    const chunk = await world.host.readOutput(run.runId, 0, 1_000)
    expect(chunk?.offset).toBeGreaterThan(0)
    expect(Buffer.from(chunk?.data ?? []).toString()).toMatch(/^0+\d+\n/)
  })

  it.runIf(isRoot)('[R10] disk full: a kill goes on to its receipt, and the report says so', async () => {
    const first = world
    const temporary = makeTemporaryDirectory()
    const mount = temporary.path
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0711', 'tmpfs', mount]).status).toBe(0)
    try {
      world = await createHostWorld({ hostDirectory: join(mount, 'host') })
      world.acknowledge(false)
      const run = await world.launch(['sleep', '1000'])
      const { root } = await world.fact(run.runId, 'RunStarted')
      try {
        writeFileSync(join(mount, 'filler'), Buffer.alloc(2 * 1024 * 1024))
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
      }
      await world.kill(run, 'graceful')
      const { receipt } = await world.fact(run.runId, 'TreeGone')
      expect(receipt.rootExit?.status).toBe(143)
      expect(isRunning(root)).toBe(false)
      await world.fact(run.runId, 'RunCleaned')
      const refused = await world.launch(['true'])
      expect((await world.fact(refused.runId, 'LaunchFailed')).code).toBe('DISK_FULL')
      const journals = (await world.host.report()).checks.find(({ name }) => name === 'journals')
      expect(journals?.ok).toBe(false)
    } finally {
      await world.end()
      spawnSync('umount', [mount])
      temporary.remove()
      world = first
    }
  })

  it('[R12] a registered process is supervised and killed with its descent; others are refused', async () => {
    const outside = spawn('sh', ['-c', 'sleep 1000 & wait'], { stdio: 'ignore', detached: true })
    try {
      const refusal = async (pid: number) => {
        const answer = await world.host.inspect(pid)
        return answer.ok ? 'ok' : answer.refusal.code
      }
      expect(await refusal(1)).toBe('PROTECTED_PROCESS')
      expect(await refusal(2)).toBe('KERNEL_THREAD')
      expect(await refusal(process.pid)).toBe('PROTECTED_PROCESS')
      expect(await refusal(process.ppid)).toBe('PROTECTED_PROCESS')
      expect(await refusal(4_194_305)).toBe('NO_SUCH_PROCESS')
      const run = await world.launch(['sleep', '1000'])
      const { root, shim } = await world.fact(run.runId, 'RunStarted')
      expect(await refusal(root.pid)).toBe('MEMBER_OF_ANOTHER_RUN')
      expect(await refusal(shim?.pid ?? 0)).toBe('PROTECTED_PROCESS')
      const answer = await world.host.inspect(outside.pid as number)
      if (!answer.ok) throw new Error(answer.refusal.message)
      const registered = {
        ...world.desired(['true']),
        work: { kind: 'supervise' as const, root: answer.root, workspacePath: null },
      }
      await world.host.want(registered)
      expect(await world.fact(registered.runId, 'RunStarted')).toMatchObject({ shim: null, level: 'process-scan' })
      await world.kill(registered, 'graceful')
      const { receipt } = await world.fact(registered.runId, 'TreeGone')
      expect(receipt.rootExit?.status).toBeNull()
      expect(receipt.processes).toHaveLength(2)
      expect(isRunning(answer.root)).toBe(false)
      expect(readIdentity(root.pid)).toEqual(root)
    } finally {
      outside.kill('SIGKILL')
    }
  })
})
