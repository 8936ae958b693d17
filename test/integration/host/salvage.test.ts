import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RunId } from '../../../src/domain/ids.ts'
import { readStat } from '../../../src/os/process-identity.ts'
import { git, makeRepository } from '../../support/git-repository.ts'
import { createHostWorld, type HostWorld, killThoseOf } from '../../support/host-world.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const isRoot = process.getuid?.() === 0
const sh = (script: string) => ['sh', '-c', script]
const env = { HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
const identity = `git config user.name Ada; git config user.email ada@example.org;`

let temporary: ReturnType<typeof makeTemporaryDirectory>
let world: HostWorld
beforeEach(async () => {
  temporary = makeTemporaryDirectory()
  world = await createHostWorld({ hostDirectory: join(temporary.path, 'host'), salvageMaxBytes: 1024 * 1024 })
})
afterEach(async () => {
  await world.end()
  killThoseOf(temporary.path)
  temporary.remove()
})

/** Every file below, whatever its name, with its checksum; then those that may be executed. */
function checksums(directory: string): string[] {
  const files = 'find . -name .git -prune -o -type f'
  const script = `${files} -print0 | sort -z | xargs -0 sha256sum -z; ${files} -perm /100 -print0`
  return execFileSync('sh', ['-c', script], { cwd: directory, encoding: 'latin1' }).split('\0')
}

/** A new clone at the commit of a bundle, with all that the bundle holds put back. */
function restore(repository: string, runId: RunId, head: string): string {
  const to = join(temporary.path, 'restored')
  const bundle = world.artifacts(runId)
  git(temporary.path, 'clone', '--quiet', '--no-checkout', repository, to)
  git(to, 'checkout', '--quiet', '--detach', head)
  if (existsSync(join(bundle, 'changes.patch'))) git(to, 'apply', '--binary', join(bundle, 'changes.patch'))
  if (existsSync(join(bundle, 'files.tar'))) execFileSync('tar', ['-xf', join(bundle, 'files.tar'), '-C', to])
  return to
}

async function ended(run: { runId: RunId }, failedSteps: string[] = []): Promise<void> {
  expect(await world.fact(run.runId, 'RunCleaned')).toEqual({ failedSteps })
}

const steps = (runId: RunId) =>
  world.ofRun(runId).flatMap(({ body }) => (body.type.startsWith('CleanupStep') ? [body.data as { step: string }] : []))
const step = (runId: RunId, name: string) => steps(runId).findLast((each) => each.step === name)

describe('a salvage bundle', () => {
  it('[M6] gives back all that was not committed: staged, unstaged, binary, deleted, renamed, untracked, odd names', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'), {
      ...{ 'changed.txt': 'one\n', 'staged.txt': 'one\n', 'both.txt': 'one\n', 'gone.txt': 'gone\n', 'mode.sh': 'x\n' },
      ...{ 'old name': 'renamed\n'.repeat(20), 'image.bin': Buffer.from([...Array(512).keys()].map((n) => n % 256)) },
      '.gitignore': 'ignored/\n',
    })
    const copy = join(temporary.path, 'copy')
    const run = await world.launch(
      sh(`
        echo two >>changed.txt; echo two >staged.txt; git add staged.txt
        echo two >both.txt; git add both.txt; echo three >both.txt
        rm gone.txt; chmod +x mode.sh; git mv 'old name' 'new name'
        printf '\\000\\001\\377' >>image.bin
        mkdir -p deep/er ignored; echo new >deep/er/new.txt; echo no >ignored/file
        : >empty; printf x >"$(printf 'new\\nline')"; printf x >-n; printf x >"$(printf 'not \\377 utf8')"
        ln -s /etc/passwd link
        echo 'the last line'
        cp -a . ${copy}; touch ${copy}.done; exec sleep 1000`),
      { env, workspace: { kind: 'GIT_WORKTREE', repository, branch: 'work' } },
    )
    await waitUntil(() => existsSync(`${copy}.done`), 'the run to have worked')
    await world.kill(run, 'force')
    await ended(run)
    const salvaged = await world.fact(run.runId, 'WorkspaceSalvaged')
    expect(salvaged).toMatchObject({
      ...{ path: world.artifacts(run.runId), branch: 'work', head: git(repository, 'rev-parse', 'work') },
      ...{ files: 6, outputBytes: 'the last line\n'.length, keep: null },
      leftOut: { count: 1, bytes: 0, entries: [{ path: 'ignored/', bytes: null, reason: 'IGNORED' }] },
    })
    expect(statSync(salvaged.path).mode & 0o777).toBe(0o700)
    expect(readFileSync(join(salvaged.path, 'output.txt'), 'utf8')).toBe('the last line\n')
    const staged = readFileSync(join(salvaged.path, 'staged.patch'), 'utf8')
    expect(staged).toContain('both.txt')
    expect(staged).not.toContain('changed.txt')
    const restored = restore(repository, run.runId, salvaged.head as string)
    rmSync(join(copy, 'ignored'), { recursive: true })
    expect(checksums(restored)).toEqual(checksums(copy))
    expect(readdirSync(restored)).not.toContain('gone.txt')
    expect(existsSync(world.workspace(run.runId))).toBe(false)
    const manifest = JSON.parse(readFileSync(join(salvaged.path, 'manifest.json'), 'utf8'))
    const { leftOut, ...rest } = salvaged
    expect(manifest).toEqual({ runId: run.runId, salvage: rest, leftOut, commits: [] })
  })

  it('[M6] of a TEMPORARY workspace: its files and its own repository, commits that nobody else has included', async () => {
    const run = await world.launch(
      sh(`
        git init -q -b main; ${identity} echo one >a; git add a; git commit -qm mine; echo two >a
        mkdir -p sub/clone; git init -q sub/clone; echo x >sub/clone/x; mkdir emptied`),
      { env },
    )
    await ended(run)
    const to = join(temporary.path, 'restored')
    mkdirSync(to)
    execFileSync('tar', ['-xf', join(world.artifacts(run.runId), 'files.tar'), '-C', to])
    expect(git(to, 'log', '--format=%s')).toBe('mine')
    expect(git(to, 'fsck', '--strict', '--no-dangling')).toBe('')
    expect(git(to, 'show', ':a')).toBe('one')
    git(to, 'checkout', '--', 'a')
    git(to, 'apply', join(world.artifacts(run.runId), 'changes.patch'))
    expect(readFileSync(join(to, 'a'), 'utf8')).toBe('two\n')
    expect(git(join(to, 'sub/clone'), 'status', '--porcelain')).toBe('?? x')
    expect(existsSync(world.workspace(run.runId))).toBe(false)
  })

  it('[M6] has a bound: the smallest files first; what is left out is named', async () => {
    const run = await world.launch(
      sh('echo small >small; head -c 900000 /dev/zero >large; head -c 90000000 /dev/zero >huge; mkfifo pipe'),
    )
    await ended(run)
    const { files, leftOut, keep } = await world.fact(run.runId, 'WorkspaceSalvaged')
    expect(files).toBe(2)
    expect(keep).toMatch(/^huge \(/)
    expect(leftOut).toEqual({
      count: 2,
      bytes: 90_000_000,
      entries: expect.arrayContaining([
        { path: 'huge', bytes: 90_000_000, reason: 'TOO_LARGE' },
        { path: 'pipe', bytes: 0, reason: 'SPECIAL' },
      ]),
    })
    // It is nowhere else.
    expect(statSync(join(world.workspace(run.runId), 'huge')).size).toBe(90_000_000)
  })

  it('[M6] commits that do not fit and are nowhere else keep the workspace', async () => {
    const run = await world.launch(
      sh(`git init -q -b main; ${identity} head -c 3000000 /dev/urandom >big; git add big; git commit -qm big`),
      { env },
    )
    await ended(run)
    const { keep } = await world.fact(run.runId, 'WorkspaceSalvaged')
    expect(keep).toMatch(/commits in \.git/)
    expect(git(world.workspace(run.runId), 'log', '--format=%s')).toBe('big')
    expect(step(run.runId, 'workspace')).toMatchObject({ detail: expect.stringMatching(/^kept: the commits/) })
  })

  it('[M6] changes that do not fit keep the workspace, and the cleanup says so', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const run = await world.launch(sh('head -c 3000000 /dev/urandom >a.txt'), {
      workspace: { kind: 'GIT_WORKTREE', repository, branch: 'work' },
    })
    await ended(run, ['salvage'])
    expect(step(run.runId, 'salvage')).toMatchObject({ error: expect.stringMatching(/RUNWARDEN_SALVAGE_MAX_BYTES/) })
    expect(step(run.runId, 'workspace')).toMatchObject({ detail: 'kept: it could not be salvaged' })
    expect(statSync(join(world.workspace(run.runId), 'a.txt')).size).toBe(3_000_000)
    expect(git(repository, 'worktree', 'list').split('\n')).toHaveLength(2)
  })

  it('[M6] is made also of a repository that a kill has broken: index, or HEAD', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const launch = (branch: string, script: string) =>
      world.launch(sh(`echo two >a.txt; echo new >new; admin=$(git rev-parse --git-dir); ${script}`), {
        ...{ env, workspace: { kind: 'GIT_WORKTREE', repository, branch } },
      })
    const index = await launch('index', 'head -c 20 "$admin/index" >cut; cat cut >"$admin/index"; rm cut')
    const head = await launch('head', 'echo garbage >"$admin/HEAD"')
    await ended(index)
    await ended(head)
    expect(readFileSync(join(world.artifacts(index.runId), 'changes.patch'), 'utf8')).toContain('+two')
    expect(world.kept(index.runId, 'new')).toBe('new\n')
    expect(world.kept(head.runId, 'a.txt')).toBe('two\n')
    expect(world.kept(head.runId, 'new')).toBe('new\n')
  })
})

describe('[M6] nobody loses work: what a workspace hides is kept too', () => {
  const inWorktree = (repository: string, branch?: string) => ({
    ...{ env, workspace: { kind: 'GIT_WORKTREE' as const, repository, branch } },
  })
  const manifestOf = (runId: RunId) => JSON.parse(readFileSync(join(world.artifacts(runId), 'manifest.json'), 'utf8'))
  const archived = (runId: RunId) =>
    execFileSync('tar', ['-tf', join(world.artifacts(runId), 'files.tar')], { encoding: 'utf8' }).split('\n')

  it('edited files that the index says to pass over (skip-worktree, assume-unchanged)', async () => {
    const files = {
      'a.txt': 'one\n',
      skipped: 'one\n',
      assumed: 'one\n',
      both: 'one\n',
      absent: 'one\n',
      staged: 'one\n',
    }
    const repository = makeRepository(join(temporary.path, 'repository'), files)
    const run = await world.launch(
      sh(`
        echo two >staged; git add staged; echo three >staged
        git update-index --skip-worktree skipped both absent; git update-index --assume-unchanged assumed both
        for name in skipped assumed both; do echo two >$name; done; rm absent; git status --porcelain`),
      inWorktree(repository, 'work'),
    )
    await ended(run)
    expect(await world.output(run.runId)).toBe('MM staged\n')
    const { head } = await world.fact(run.runId, 'WorkspaceSalvaged')
    const restored = restore(repository, run.runId, head as string)
    const content = (name: string) => readFileSync(join(restored, name), 'utf8')
    expect(['skipped', 'assumed', 'both', 'staged', 'absent'].map(content)).toEqual([
      ...['two\n', 'two\n', 'two\n', 'three\n'],
      // Passed over and not there, as all that a sparse checkout leaves out: nobody has deleted it.
      'one\n',
    ])
    expect(readFileSync(join(world.artifacts(run.runId), 'staged.patch'), 'utf8')).toContain('+two')
  })

  it('commits that only the worktree names: detached, amended, rebased, stashed by a rebase, its own refs', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const commit = (name: string) => `echo ${name} >${name}.txt; git add ${name}.txt; git commit -qm ${name}`
    // One after the other: they share the repository's configuration.
    const finished = async (script: string, branch?: string) => {
      const run = await world.launch(sh(identity + script), inWorktree(repository, branch))
      await ended(run)
      return run
    }
    const detached = await finished(
      `${commit('amended')}; git commit -q --amend -m kept; git checkout -q --detach; ${commit('first')}
        ${commit('second')}; git update-ref refs/worktree/mine "$(git commit-tree -m own HEAD^{tree})"`,
      'detached',
    )
    const rebased = await finished(
      `git checkout -q -b side; echo side >a.txt; git commit -qam side
        git checkout -q rebased; echo onto >a.txt; git commit -qam onto; git checkout -q side
        echo stashed >stashed.txt; git add stashed.txt; git rebase --autostash rebased; git update-ref -d refs/heads/side`,
      'rebased',
    )
    // The branch goes with the worktree, and its reflog with it.
    const undone = await finished(`${commit('undone')}; git reset -q --hard HEAD^`)
    const none = await finished(`${commit('reached')}; echo x >x`, 'none')
    git(repository, 'reflog', 'expire', '--expire=now', '--all')
    git(repository, 'gc', '--quiet', '--prune=now')
    expect(existsSync(join(world.artifacts(none.runId), 'commits.bundle'))).toBe(false)
    expect(manifestOf(none.runId).commits).toEqual([])

    const namesOf = (runId: RunId, from: string) => {
      const to = join(temporary.path, `of-${runId}`)
      git(temporary.path, 'clone', '--quiet', '--no-local', from, to)
      git(to, 'fetch', '--quiet', join(world.artifacts(runId), 'commits.bundle'), 'refs/salvage/*:refs/heads/salvage/*')
      expect(git(to, 'fsck', '--strict')).toBe('')
      return git(to, 'log', '--format=%s', '--branches=salvage/*', '--not', '--remotes').split('\n').toSorted()
    }
    expect(namesOf(detached.runId, repository)).toEqual(['amended', 'first', 'own', 'second'])
    expect(namesOf(undone.runId, repository)).toEqual(['undone'])
    const fromRebase = namesOf(rebased.runId, repository)
    expect(fromRebase).toEqual(expect.arrayContaining(['side', expect.stringMatching(/^(WIP on|On) |autostash/)]))

    const places = (runId: RunId) =>
      manifestOf(runId).commits.flatMap(({ foundIn }: { foundIn: string[] }) => foundIn) as string[]
    expect(places(detached.runId)).toEqual(expect.arrayContaining(['HEAD', 'logs/HEAD', 'refs/worktree/mine']))
    expect(places(rebased.runId)).toEqual(expect.arrayContaining(['REBASE_HEAD', 'rebase-merge/autostash']))
    const autostash = manifestOf(rebased.runId).commits.find(({ foundIn }: { foundIn: string[] }) =>
      foundIn.includes('rebase-merge/autostash'),
    )
    expect(git(join(temporary.path, `of-${rebased.runId}`), 'show', `${autostash.id}:stashed.txt`)).toBe('stashed')
  })

  it('commits that do not fit keep the workspace and its place in the repository; so do those of a directory that is gone', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const script = `${identity} git checkout -q --detach; head -c 3000000 /dev/urandom >big; git add big; git commit -qm big`
    const run = await world.launch(sh(script), inWorktree(repository, 'work'))
    await ended(run)
    const gone = await world.launch(
      sh(`${identity} git checkout -q --detach; git commit -q --allow-empty -m gone; rm -rf "$RUNWARDEN_WORKSPACE"`),
      inWorktree(repository, 'gone'),
    )
    await ended(gone)
    const { keep } = await world.fact(run.runId, 'WorkspaceSalvaged')
    expect(keep).toMatch(/commits.*RUNWARDEN_SALVAGE_MAX_BYTES/)
    expect(git(world.workspace(run.runId), 'log', '--format=%s', '-1')).toBe('big')
    expect(git(repository, 'worktree', 'list').split('\n')).toHaveLength(2)
    expect(manifestOf(gone.runId).commits).toEqual([
      { id: expect.any(String), foundIn: expect.arrayContaining(['HEAD']) },
    ])
    git(repository, 'bundle', 'verify', '--quiet', join(world.artifacts(gone.runId), 'commits.bundle'))
    expect(step(gone.runId, 'salvage')).toMatchObject({ detail: expect.stringMatching(/, with 1 commit that no ref/) })
  })

  it('of a shallow clone, of a repository with SHA-256, and of another account', async () => {
    const full = makeRepository(join(temporary.path, 'full'))
    git(full, 'commit', '--quiet', '--allow-empty', '--message=second')
    git(temporary.path, 'clone', '--quiet', '--depth=1', `file://${full}`, 'shallow')
    git(full, 'checkout', '--quiet', '-b', 'other')
    for (const message of ['before', 'other']) git(full, 'commit', '--quiet', '--allow-empty', `--message=${message}`)
    git(temporary.path, 'init', '--quiet', '--object-format=sha256', 'sha256')
    git(join(temporary.path, 'sha256'), 'commit', '--quiet', '--allow-empty', '--message=first')
    git(temporary.path, 'clone', '--quiet', full, 'another')
    if (isRoot) execFileSync('chown', ['-R', 'nobody', join(temporary.path, 'another')])
    for (const name of ['shallow', 'sha256', 'another']) {
      const repository = join(temporary.path, name)
      // A fetch of its own, as shallow as the clone is.
      const fetch = name === 'shallow' ? `git fetch -q --depth=1 file://${full} other; git checkout -q FETCH_HEAD` : ''
      const script = `${identity} git checkout -q --detach; ${fetch}
        echo two >a.txt; git add a.txt; git commit -qm detached
        git update-index --skip-worktree a.txt; echo edited >a.txt`
      const account = isRoot && name === 'another' ? { runAs: 'nobody' } : {}
      const run = await world.launch(sh(script), { ...inWorktree(repository, 'work'), ...account })
      await ended(run)
      expect((await world.fact(run.runId, 'WorkspaceSalvaged')).keep).toBeNull()
      expect(readFileSync(join(world.artifacts(run.runId), 'changes.patch'), 'utf8')).toContain('+edited')
      const bundle = join(world.artifacts(run.runId), 'commits.bundle')
      git(repository, 'fetch', '--quiet', bundle, 'refs/salvage/*:refs/heads/salvage/*')
      expect(git(repository, 'log', '--format=%s', '-1', '--branches=salvage/*')).toBe('detached')
      expect(existsSync(world.workspace(run.runId))).toBe(false)
    }
  })

  it('repositories of the run’s own: in the place of the worktree’s, and below what .gitignore names', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'), { 'a.txt': 'one\n', '.gitignore': 'logs/\n' })
    const inner = (name: string) => `git init -q ${name}; git -C ${name} config user.name Ada
      git -C ${name} config user.email a@b; git -C ${name} commit -q --allow-empty -m ${name.replaceAll('/', '-')}`
    const run = await world.launch(
      sh(`mkdir logs sub; echo x >logs/x; ${inner('logs/inner')}; echo x >logs/inner/x
        ${inner('sub/cut')}; : >sub/cut/.git/HEAD; git clone -q --bare logs/inner logs/bare.git
        rm -f .git; ${inner('.')}; mkfifo fifo`),
      inWorktree(repository, 'work'),
    )
    await ended(run)
    const to = join(temporary.path, 'restored')
    mkdirSync(to)
    execFileSync('tar', ['-xf', join(world.artifacts(run.runId), 'files.tar'), '-C', to])
    expect(git(to, 'log', '--format=%s')).toBe('.')
    expect(git(join(to, 'logs/inner'), 'log', '--format=%s')).toBe('logs-inner')
    expect(git(join(to, 'logs/inner'), 'status', '--porcelain')).toBe('?? x')
    expect(git(join(to, 'logs/bare.git'), 'log', '--format=%s')).toBe('logs-inner')
    expect(existsSync(join(to, 'sub/cut/.git/objects'))).toBe(true)
    expect(existsSync(join(to, 'logs/x'))).toBe(false)
    const names = archived(run.runId).filter(Boolean)
    expect(names).toEqual([...new Set(names)])
    // A manifest says it once.
    const { salvage, leftOut } = manifestOf(run.runId)
    expect(leftOut.entries).toEqual(
      expect.arrayContaining([
        { path: 'fifo', bytes: 0, reason: 'SPECIAL' },
        { path: 'logs/', bytes: null, reason: 'IGNORED' },
      ]),
    )
    expect(leftOut.count).toBe(leftOut.entries.length)
    expect(salvage).not.toHaveProperty('leftOut')
    expect((await world.fact(run.runId, 'WorkspaceSalvaged')).leftOut).toEqual(leftOut)
    expect(existsSync(world.workspace(run.runId))).toBe(false)
  })

  it('a new file that does not fit keeps the workspace; one that git ignores does not, also in a clone', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'), { 'a.txt': 'one\n', '.gitignore': 'logs/\n' })
    const large = (name: string) => `head -c 3000000 /dev/zero >${name}`
    const kept = await world.launch(sh(`echo small >small; ${large('large')}`), inWorktree(repository, 'kept'))
    const ignored = await world.launch(sh(`mkdir logs; ${large('logs/large')}`), inWorktree(repository, 'ignored'))
    const clone = await world.launch(
      sh(`git clone -q ${repository} clone; mkdir clone/logs; ${large('clone/logs/large')}; echo new >clone/new`),
      { env },
    )
    for (const run of [kept, ignored, clone]) await ended(run)
    const { keep } = await world.fact(kept.runId, 'WorkspaceSalvaged')
    expect(keep).toMatch(/^large .*RUNWARDEN_SALVAGE_MAX_BYTES/)
    expect(statSync(join(world.workspace(kept.runId), 'large')).size).toBe(3_000_000)
    expect(archived(kept.runId)).toContain('./small')
    expect(existsSync(world.workspace(ignored.runId))).toBe(false)
    expect(existsSync(world.workspace(clone.runId))).toBe(false)
    expect(archived(clone.runId)).toEqual(expect.arrayContaining(['./clone/.git/HEAD', './clone/new']))
    expect(manifestOf(clone.runId).leftOut.entries).toEqual([
      { path: 'clone/logs/large', bytes: 3_000_000, reason: 'IGNORED' },
    ])
  })
})

describe('what is left of a workspace', () => {
  it('[R8] an EXISTING one is left as it is, but for locks that died with the run', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const foreign = join(repository, '.git/refs/heads/old.lock')
    writeFileSync(foreign, '')
    execFileSync('touch', ['-d', '2020-01-01', foreign])
    const run = await world.launch(
      sh('echo two >a.txt; : >.git/index.lock; mkdir -p .git/refs/heads/x; : >.git/refs/heads/x/y.lock; : >my.lock'),
      { workspace: { kind: 'EXISTING', path: repository } },
    )
    await ended(run)
    expect(readFileSync(join(repository, 'a.txt'), 'utf8')).toBe('two\n')
    expect(existsSync(join(repository, '.git/index.lock'))).toBe(false)
    expect(existsSync(join(repository, '.git/refs/heads/x/y.lock'))).toBe(false)
    expect(existsSync(join(repository, 'my.lock'))).toBe(true)
    expect(existsSync(foreign)).toBe(true)
    expect(git(repository, 'status', '--porcelain')).toBe(' M a.txt\n?? my.lock')
    expect(world.types(run.runId)).not.toContain('WorkspaceSalvaged')
  })

  it.each([
    ['git there', (repository: string) => ['git', '-C', repository, 'cat-file', '--batch']],
    [
      'git elsewhere, told of it',
      (repository: string) => ['git', `--git-dir=${repository}/.git`, 'cat-file', '--batch'],
    ],
    [
      'git by its environment',
      (repository: string) => ['env', `GIT_DIR=${repository}/.git`, 'git', 'cat-file', '--batch'],
    ],
    ['another program that has it open', (repository: string) => ['sh', '-c', `exec cat 9<${repository}/.git/HEAD`]],
  ])('[R8] a lock stays while somebody works there, such as %s: it may be that one’s', async (_who, commandOn) => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const [program = '', ...args] = commandOn(repository)
    const other = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'], cwd: '/' })
    await waitUntil(() => readStat(other.pid ?? 0)?.comm === (program === 'sh' ? 'cat' : 'git'), 'it to work')
    const run = await world.launch(sh(': >.git/index.lock'), { workspace: { kind: 'EXISTING', path: repository } })
    await waitUntil(() => step(run.runId, 'git-locks'), 'the step to fail')
    expect(step(run.runId, 'git-locks')).toMatchObject({
      error: expect.stringMatching(new RegExp(`may be held.*${other.pid} \\((git|cat)\\)`)),
      willRetry: true,
    })
    expect(existsSync(join(repository, '.git/index.lock'))).toBe(true)
    other.stdin?.end()
    await once(other, 'exit')
    await ended(run)
    expect(existsSync(join(repository, '.git/index.lock'))).toBe(false)
  })

  it('[R8] somebody who works in it stands in the way of its removal, not of the proof', async () => {
    const run = await world.launch(sh('touch began; exec sleep 1000'))
    const workspace = world.workspace(run.runId)
    await waitUntil(() => existsSync(join(workspace, 'began')), 'the run')
    const guest = spawn('sleep', ['1000'], { cwd: workspace, stdio: 'ignore' })
    await once(guest, 'spawn')
    await world.kill(run, 'force')
    expect((await world.fact(run.runId, 'TreeGone')).receipt.proven).toBe(true)
    await waitUntil(() => step(run.runId, 'workspace'), 'the step to fail')
    expect(step(run.runId, 'workspace')).toMatchObject({
      error: expect.stringContaining(`${guest.pid} (sleep)`),
      willRetry: true,
    })
    expect(existsSync(join(workspace, 'began'))).toBe(true)
    expect(guest.exitCode ?? guest.signalCode).toBeNull()
    guest.kill('SIGKILL')
    await once(guest, 'exit')
    await ended(run)
    expect(existsSync(workspace)).toBe(false)
  })
})

describe('retention', () => {
  const restartKeeping = (maxAgeMs: number, maxBytes: number) => world.restart({ retention: { maxAgeMs, maxBytes } })
  const ago = (runId: RunId, days: number) =>
    execFileSync('touch', ['-d', `${days} days ago`, join(world.directory(runId), 'finished')])
  const day = 24 * 60 * 60_000

  async function bundles(count: number): Promise<RunId[]> {
    const runIds: RunId[] = []
    for (let number = 1; number <= count; number += 1) {
      const run = await world.launch(sh('head -c 100000 /dev/urandom >data'))
      await ended(run)
      await waitUntil(() => existsSync(join(world.directory(run.runId), 'finished')), 'the end of the run')
      ago(run.runId, number)
      runIds.push(run.runId)
    }
    return runIds
  }
  const there = (runId: RunId) => existsSync(world.artifacts(runId))

  it('[R8] removes bundles that are too old', async () => {
    const [young = '', old = ''] = await bundles(2)
    await restartKeeping(1.5 * day, 2 ** 40)
    await waitUntil(() => !there(old), 'the old bundle to go')
    expect(there(young)).toBe(true)
  })

  it('[R8] removes the oldest until the rest fits; the worktree of one that stayed leaves its repository’s list', async () => {
    const repository = makeRepository(join(temporary.path, 'repository'))
    const run = await world.launch(sh('head -c 3000000 /dev/urandom >a.txt'), {
      workspace: { kind: 'GIT_WORKTREE', repository, branch: 'work' },
    })
    await ended(run, ['salvage'])
    await waitUntil(() => existsSync(join(world.directory(run.runId), 'finished')), 'the end of the run')
    ago(run.runId, 9)
    const [young = ''] = await bundles(1)
    await restartKeeping(30 * day, 1_000_000)
    await waitUntil(() => !existsSync(world.workspace(run.runId)), 'the old workspace to go')
    await waitUntil(() => git(repository, 'worktree', 'list').split('\n').length === 1, 'its entry to go')
    expect(there(young)).toBe(true)
  })
})
