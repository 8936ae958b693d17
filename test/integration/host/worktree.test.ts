import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DesiredRun } from '../../../src/domain/host-link.ts'
import { launchSpecSchema } from '../../../src/domain/launch.ts'
import { git, gitEnvironment, makeRepository } from '../../support/git-repository.ts'
import { createHostWorld, type HostWorld, killThoseOf } from '../../support/host-world.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const sh = (script: string) => ['sh', '-c', script]
const identity = `git config user.name Ada; git config user.email ada@example.org;`
const env = { HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }

describe('a run in a git worktree', () => {
  let temporary: ReturnType<typeof makeTemporaryDirectory>
  let repository: string
  let world: HostWorld
  beforeEach(async () => {
    temporary = makeTemporaryDirectory()
    repository = makeRepository(join(temporary.path, 'repository'), { 'a.txt': 'one\n', 'bin/b': Buffer.from([0, 1]) })
    world = await createHostWorld({ hostDirectory: join(temporary.path, 'host') })
  })
  afterEach(async () => {
    await world.end()
    killThoseOf(temporary.path)
    temporary.remove()
  })

  const inWorktree = (branch?: string) => ({ env, workspace: { kind: 'GIT_WORKTREE' as const, repository, branch } })
  const worktrees = () =>
    git(repository, 'worktree', 'list', '--porcelain')
      .split('\n')
      .filter((l) => /^worktree/.test(l))
  const branches = () => git(repository, 'branch', '--format=%(refname:short)').split('\n')

  it('[R8] works on a branch made for it, whose commits stay when the worktree goes', async () => {
    const run = await world.launch(
      sh(
        `${identity} git status --porcelain; cat a.txt; echo two >a.txt; git commit -qam second; git branch --show-current`,
      ),
      inWorktree('feature/login'),
    )
    expect(await world.fact(run.runId, 'RunCleaned')).toEqual({ failedSteps: [] })
    expect(await world.output(run.runId)).toBe('one\nfeature/login\n')
    expect((await world.fact(run.runId, 'RunStarted')).workspacePath).toBe(world.workspace(run.runId))
    expect(existsSync(world.workspace(run.runId))).toBe(false)
    expect(worktrees()).toHaveLength(1)
    expect(git(repository, 'show', 'feature/login:a.txt')).toBe('two')
    expect(git(repository, 'show', 'main:a.txt')).toBe('one')
    expect(git(repository, 'fsck', '--strict')).toBe('')
    const salvaged = await world.fact(run.runId, 'WorkspaceSalvaged')
    expect(salvaged).toMatchObject({
      ...{ branch: 'feature/login', head: git(repository, 'rev-parse', 'feature/login'), patchBytes: 0, files: 0 },
      keep: null,
    })
  })

  it('[R8] starts from a branch that is there, or that only origin has', async () => {
    git(repository, 'branch', 'there')
    const clone = join(temporary.path, 'clone')
    git(temporary.path, 'clone', '--quiet', repository, clone)
    writeFileSync(join(repository, 'later'), '')
    const run = await world.launch(sh('git rev-parse HEAD; git branch --show-current'), {
      env,
      workspace: { kind: 'GIT_WORKTREE', repository: clone, branch: 'there' },
    })
    await world.fact(run.runId, 'RunCleaned')
    expect(await world.output(run.runId)).toBe(`${git(repository, 'rev-parse', 'there')}\nthere\n`)
    expect(git(clone, 'branch', '--format=%(refname:short)').split('\n')).toContain('there')
  })

  it('[R8] a branch named after the run goes with it, unless something was committed to it', async () => {
    const idle = await world.launch(['true'], inWorktree())
    const busy = await world.launch(sh(`${identity} git commit -q --allow-empty -m x`), inWorktree())
    for (const { runId } of [idle, busy]) await world.fact(runId, 'RunCleaned')
    expect(branches()).toEqual(['main', `runwarden/${busy.runId}`])
  })

  it.each([
    ['no such directory', () => ({ repository: join(temporary.path, 'nowhere') }), 'REPOSITORY_UNUSABLE', /nowhere/],
    ['no repository', () => ({ repository: temporary.path }), 'REPOSITORY_UNUSABLE', /not a git repository/],
    ['no commit', () => ({ repository: emptyRepository() }), 'REPOSITORY_UNUSABLE', /no commit/],
    ['the branch of the main worktree', () => ({ repository, branch: 'main' }), 'BRANCH_UNUSABLE', /checked out in/],
    ['a name in the way', () => ({ repository, branch: 'main/x' }), 'BRANCH_UNUSABLE', /main\/x/],
  ] as const)(
    '[R8] %s: a failure that says what and why, and nothing is left',
    async (_name, choose, code, message) => {
      const run = await world.launch(['true'], { workspace: { kind: 'GIT_WORKTREE', ...choose() } })
      const failure = await world.fact(run.runId, 'LaunchFailed')
      expect(failure.code).toBe(code)
      expect(failure.message).toMatch(message)
      expect(await world.fact(run.runId, 'RunCleaned')).toEqual({ failedSteps: [] })
      expect(existsSync(world.workspace(run.runId))).toBe(false)
      expect(worktrees()).toHaveLength(1)
      expect(branches()).toEqual(['main'])
    },
  )

  function emptyRepository(): string {
    const path = join(temporary.path, 'empty')
    mkdirSync(path)
    git(path, 'init', '--quiet')
    return path
  }

  it('[R8] a branch that a live run has is refused at once; one that a run is about to give back is waited for', async () => {
    const first = await world.launch(sh('touch began; exec sleep 1000'), inWorktree('shared'))
    await waitUntil(() => existsSync(join(world.workspace(first.runId), 'began')), 'the first run')
    const refused = await world.launch(['true'], inWorktree('shared'))
    const { message } = await world.fact(refused.runId, 'LaunchFailed')
    expect(message).toContain(first.runId)
    await world.kill(first, 'force')
    await world.fact(first.runId, 'TreeGone')
    const second = await world.launch(sh('git branch --show-current'), inWorktree('shared'))
    await world.fact(second.runId, 'RunCleaned')
    expect(await world.output(second.runId)).toBe('shared\n')
  })

  it('[R8] nothing that the repository configures is executed when the worktree is made or removed', async () => {
    const trap = join(temporary.path, 'trap')
    const hook = `#!/bin/sh\necho "$0" >>${trap}\n`
    for (const name of ['post-checkout', 'reference-transaction', 'post-index-change']) {
      writeFileSync(join(repository, '.git/hooks', name), hook, { mode: 0o755 })
    }
    writeFileSync(join(repository, '.gitattributes'), '* filter=evil diff=evil\n')
    execGit('add', '.gitattributes')
    execGit('commit', '--quiet', '--message=attributes')
    rmSync(trap, { force: true })
    for (const [name, value] of [
      ['filter.evil.smudge', `sh -c 'touch ${trap}; cat'`],
      ['filter.evil.clean', `sh -c 'touch ${trap}; cat'`],
      ['diff.evil.textconv', `sh -c 'touch ${trap}; cat "$0"'`],
      ['diff.evil.command', `touch ${trap};`],
      ['diff.external', `touch ${trap};`],
      ['core.fsmonitor', `touch ${trap};`],
    ] as const) {
      git(repository, 'config', name, value)
    }
    const run = await world.launch(sh('echo two >a.txt; echo new >new'), { ...inWorktree('b') })
    expect(await world.fact(run.runId, 'RunCleaned')).toEqual({ failedSteps: [] })
    expect(existsSync(trap) ? readFileSync(trap, 'utf8') : 'nothing').toBe('nothing')
    expect(readFileSync(join(world.artifacts(run.runId), 'changes.patch'), 'utf8')).toContain('+two')
    expect(existsSync(world.workspace(run.runId))).toBe(false)
  })

  /** Without its hooks and filters. */
  const execGit = (...args: string[]) => git(repository, '-c', 'core.hooksPath=/dev/null', ...args)

  it.runIf(process.getuid?.() === 0)('[R8] runAs: the worktree, and what git writes, is of that account', async () => {
    const run = await world.launch(sh('stat -c %U . a.txt .git; id -un'), { ...inWorktree('theirs'), runAs: 'nobody' })
    const refused = await world.fact(run.runId, 'LaunchFailed')
    expect(refused).toMatchObject({ code: 'BRANCH_UNUSABLE', message: expect.stringMatching(/permission denied/i) })
    const own = spawn('chown', ['-R', 'nobody', repository], { env: gitEnvironment, stdio: 'inherit' })
    expect(await once(own, 'exit')).toEqual([0, null])
    const again = await world.launch(sh('stat -c %U . a.txt .git; id -un; echo two >a.txt'), {
      ...inWorktree('theirs'),
      runAs: 'nobody',
    })
    expect(await world.fact(again.runId, 'RunCleaned')).toEqual({ failedSteps: [] })
    expect(await world.output(again.runId)).toBe('nobody\nnobody\nnobody\nnobody\n')
    expect(existsSync(world.workspace(again.runId))).toBe(false)
    expect((await world.fact(again.runId, 'WorkspaceSalvaged')).patchBytes).toBeGreaterThan(0)
  })
})

describe('a host that is killed while it makes or removes a worktree', () => {
  const program = join(import.meta.dirname, '../../programs/host.ts')
  let temporary: ReturnType<typeof makeTemporaryDirectory>
  let world: HostWorld | undefined
  beforeEach(() => {
    temporary = makeTemporaryDirectory()
  })
  afterEach(async () => {
    await world?.end()
    world = undefined
    killThoseOf(temporary.path)
    temporary.remove()
  })

  it.each([
    ...['after worktree record', 'after worktree add', 'after worktree checkout', 'after launch record'],
    ...['before cleanup git-locks', 'after cleanup salvage', 'after cleanup workspace'],
    ...['before cleanup git-worktree', 'after cleanup git-worktree'],
  ])('[R14] [R8] %s: the next host goes on, and nothing is left', async (point) => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const hostDirectory = join(temporary.path, 'host')
    const script = `echo ran >>ran; echo two >>a.txt; ${identity} echo x >c; git add c; git commit -qm c`
    const run: DesiredRun = {
      ...{ runId: 'run_0000000000c1', order: 1, kill: null, factSequence: 0 },
      work: {
        kind: 'launch',
        launch: launchSpecSchema.parse({
          ...{ command: sh(script), env },
          workspace: { kind: 'GIT_WORKTREE', repository, branch: 'work' },
        }),
      },
      leftovers: { graceMs: 100, proofDeadlineMs: 5_000 },
    }
    const child = spawn(process.execPath, [program, hostDirectory, JSON.stringify(run), '', point, 'auto'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    expect((await once(child, 'exit'))[1], `crashed ${point}`).toBe('SIGKILL')
    world = await createHostWorld({ hostDirectory })
    await world.host.want(run)
    expect(await world.fact(run.runId, 'RunCleaned')).toEqual({ failedSteps: [] })
    expect(world.types(run.runId)).not.toContain('LaunchFailed')
    expect(world.types(run.runId).filter((type) => type === 'WorkspaceSalvaged')).toHaveLength(1)
    expect(world.kept(run.runId, 'ran')).toBe('ran\n')
    expect(readFileSync(join(world.artifacts(run.runId), 'changes.patch'), 'utf8')).toContain('+two')
    expect(git(repository, 'log', '--format=%s', 'work').split('\n')).toEqual(['c', 'first'])
    expect(git(repository, 'worktree', 'list').split('\n')).toHaveLength(1)
    expect(existsSync(world.workspace(run.runId))).toBe(false)
  })
})
