import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RunId } from '../../../src/domain/ids.ts'
import { makeRepository } from '../../support/git-repository.ts'
import { createHostWorld, type HostWorld, killThoseOf } from '../../support/host-world.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const sh = (script: string) => ['sh', '-c', script]
const isRoot = process.getuid?.() === 0
const env = { HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
const identity = `git config user.name Ada; git config user.email ada@example.org;`

let temporary: ReturnType<typeof makeTemporaryDirectory>
let world: HostWorld
/** Somebody else's: what a workspace leads to must be there afterwards, untouched. */
let precious: string
beforeEach(async () => {
  temporary = makeTemporaryDirectory()
  world = await createHostWorld({ hostDirectory: join(temporary.path, 'host'), salvageMaxBytes: 8 * 1024 * 1024 })
  precious = join(temporary.path, 'precious')
  mkdirSync(join(precious, 'sub'), { recursive: true })
  writeFileSync(join(precious, 'secret'), 'TOP SECRET\n')
  writeFileSync(join(precious, 'sub/index.lock'), '')
  if (isRoot) chmodSync(join(precious, 'secret'), 0o600)
})
afterEach(async () => {
  await world.end()
  killThoseOf(temporary.path)
  temporary.remove()
})

function expectUntouched(): void {
  expect(readFileSync(join(precious, 'secret'), 'utf8')).toBe('TOP SECRET\n')
  expect(readdirSync(precious, { recursive: true }).toSorted()).toEqual(['secret', 'sub', 'sub/index.lock'])
}

/** Everything that the bundle holds, as text. */
function bundleOf(runId: RunId): string {
  const directory = world.artifacts(runId)
  if (!existsSync(directory)) return ''
  return readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'latin1'))
    .join('\n')
}

/** @returns the failed steps */
async function cleaned(runId: RunId): Promise<string[]> {
  const { failedSteps } = await world.fact(runId, 'RunCleaned')
  return failedSteps
}

describe('[R8] [M6] a workspace that works against its own cleanup', () => {
  it.each([
    ['links to a file and to a directory', 'ln -s "$P" directory; ln -s "$P/secret" file; mkdir d; ln -s "$P" d/again'],
    ['itself a link', 'cd ..; rm -rf "$RUNWARDEN_WORKSPACE"; ln -s "$P" "$RUNWARDEN_WORKSPACE"'],
    ['.git is a link', 'mkdir -p elsewhere; ln -s "$P" .git'],
    ['.git leads elsewhere', 'echo "gitdir: $P/sub" >.git'],
    ['its TMPDIR is a link', 'rmdir "$TMPDIR"; ln -s "$P" "$TMPDIR"'],
    ['the directory of its TMPDIR is a link', 'io=$(dirname "$TMPDIR"); mv "$io" "$io.moved"; ln -s "$P" "$io"'],
    ['a directory of its .git is a link', 'git init -q; rm -rf .git/refs; ln -s "$P/sub" .git/refs; echo x >x'],
    ['its name is the beginning of another', 'mkdir -p ../run_x; echo x >x; rmdir ../run_x'],
  ])('%s: what it leads to is neither read nor removed', async (_name, script) => {
    const run = await world.launch(sh(script), { env: { ...env, P: precious } })
    expect(await cleaned(run.runId)).toEqual([])
    expectUntouched()
    expect(bundleOf(run.runId)).not.toContain('TOP SECRET')
    expect(lstatSync(world.workspace(run.runId), { throwIfNoEntry: false })).toBeUndefined()
  })

  it.each([
    ['a directory made read-only', 'mkdir -p a/b; echo kept >a/b/f; chmod 0500 a/b a .', 'a/b/f'],
    ['a directory that nobody may enter', 'mkdir -p a/b; echo kept >a/b/f; chmod 0 a/b a .', 'a/b/f'],
    ['a file that nobody may read', 'echo kept >f; chmod 0 f', isRoot ? 'f' : undefined],
    [
      'names with line ends, blanks, quotes and dashes',
      `echo kept >"$(printf 'a\\nb')"; : >-rf; : >"' \\""; : >'*'`,
      '-rf',
    ],
  ])('%s: it is salvaged and removed', async (_name, script, kept) => {
    const run = await world.launch(sh(script), { env })
    expect(await cleaned(run.runId)).toEqual([])
    if (kept !== undefined) expect(bundleOf(run.runId)).toContain(`./${kept}`)
    expect(existsSync(world.workspace(run.runId))).toBe(false)
    expectUntouched()
  })

  it.runIf(isRoot)('the same under an account of its own', async () => {
    const script = `mkdir -p a/b; echo kept >a/b/f; ln -s ${precious}/secret link; chmod 0 a/b; chmod 0500 a .`
    const run = await world.launch(sh(script), { env, runAs: 'nobody' })
    expect(await cleaned(run.runId)).toEqual([])
    expect(bundleOf(run.runId)).toContain('./a/b/f')
    expect(bundleOf(run.runId)).not.toContain('TOP SECRET')
    expect(existsSync(world.workspace(run.runId))).toBe(false)
    expectUntouched()
  })

  it('a tree deeper than any path', async () => {
    const name = 'd'.repeat(200)
    const run = await world.launch(
      sh(`i=0; while [ $i -lt 60 ]; do mkdir ${name} && cd -P ./${name} || exit; i=$((i+1)); done; echo deep >f`),
    )
    expect(await cleaned(run.runId)).toEqual([])
    const { leftOut } = await world.fact(run.runId, 'WorkspaceSalvaged')
    expect(leftOut.entries.map(({ reason }) => reason)).toContain('PATH_TOO_LONG')
    expect(existsSync(world.workspace(run.runId))).toBe(false)
  })

  it('pipes in place of what git reads: it does not wait for them for ever', { timeout: 60_000 }, async () => {
    const run = await world.launch(sh('git init -q; rm .git/HEAD; mkfifo .git/HEAD fifo; echo kept >kept'), { env })
    expect(await world.fact(run.runId, 'WorkspaceSalvaged').catch(() => 'late')).toBeDefined()
    expect(await cleaned(run.runId)).toEqual([])
    expect(world.kept(run.runId, 'kept')).toBe('kept\n')
  })

  it.each([false, true])(
    'a configuration full of programs: none is executed (one that cannot be read: %s)',
    async (broken) => {
      const repository = makeRepository(join(temporary.path, 'repository'))
      const trap = join(temporary.path, 'trap')
      const evil = join(temporary.path, 'evil')
      writeFileSync(evil, `#!/bin/sh\necho "$0 $*" >>${trap}\n[ $# = 0 ] || cat "$1"\n`, { mode: 0o755 })
      const settings = [
        ...['core.fsmonitor', 'core.sshCommand', 'core.editor', 'core.pager', 'core.askPass', 'core.gitProxy'],
        ...['diff.external', 'diff.evil.command', 'diff.evil.textconv', 'filter.evil.clean', 'filter.evil.smudge'],
        ...[
          'filter.evil.process',
          'merge.evil.driver',
          'gpg.program',
          'credential.helper',
          'pager.diff',
          'pager.status',
        ],
        ...['uploadpack.packObjectsHook', 'core.alternateRefsCommand', 'interactive.diffFilter'],
      ]
      const hooks = ['post-checkout', 'post-index-change', 'reference-transaction', 'pre-auto-gc', 'fsmonitor-watchman']
      // Filters are set last: until then git itself would run them for the run.
      const script = `
      ${identity} echo two >a.txt; echo '* filter=evil diff=evil merge=evil' >.gitattributes; echo new >new
      common=$(git rev-parse --git-common-dir); admin=$(git rev-parse --git-dir)
      mkdir -p hooks; for hook in ${hooks.join(' ')}; do cp ${evil} hooks/$hook; cp ${evil} "$common/hooks/$hook"; done
      git config extensions.worktreeConfig true
      echo '* filter=evil diff=evil' >"$common/info/attributes"
      for place in --local --worktree; do
        git config $place core.hooksPath "$PWD/hooks"
        for name in ${settings.join(' ')}; do GIT_CONFIG_COUNT=0 git config $place $name ${evil}; done
        git config $place filter.evil.required true
      done
      git status >/dev/null; [ -e ${trap} ] && echo armed
      ${broken ? `git config include.path ${precious}/secret` : ''}
      rm -f ${trap}`
      const run = await world.launch(sh(script), {
        env,
        workspace: { kind: 'GIT_WORKTREE', repository, branch: 'work' },
      })
      const failedSteps = await cleaned(run.runId)
      expect(await world.output(run.runId)).toContain('armed\n')
      expect(existsSync(trap) ? readFileSync(trap, 'utf8') : 'nothing was executed').toBe('nothing was executed')
      expect(bundleOf(run.runId)).not.toContain('TOP SECRET')
      const patch = readFileSync(join(world.artifacts(run.runId), 'changes.patch'), 'utf8')
      expect(patch).toContain('+two')
      expect(world.kept(run.runId, 'new')).toBe('new\n')
      expect(existsSync(world.workspace(run.runId))).toBe(false)
      // Git itself cannot read such a configuration (an included file is none): the list keeps its entry, and that is said.
      expect(failedSteps).toEqual(broken ? ['git-worktree'] : [])
      expectUntouched()
    },
  )

  it.runIf(isRoot)('a file system that is mounted in it stays, and is said to stand in the way', async () => {
    const run = await world.launch(sh('mkdir m; echo x >x; while [ ! -e done ]; do sleep 0.05; done'))
    const mount = join(world.workspace(run.runId), 'm')
    await world.fact(run.runId, 'RunStarted')
    while (!existsSync(mount)) await new Promise((wait) => setTimeout(wait, 10))
    execFileSync('mount', ['--bind', precious, mount])
    try {
      writeFileSync(join(world.workspace(run.runId), 'done'), '')
      expect(await cleaned(run.runId)).toEqual(['salvage'])
      expectUntouched()
    } finally {
      execFileSync('umount', [mount])
    }
  })
})
