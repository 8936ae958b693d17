import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { waitUntil } from './wait-until.ts'

/** A repository for tests: git with an environment of its own, so that no setting of the machine plays a part. */
export function gitIn(directory: string, uid: number) {
  const env = {
    PATH: process.env.PATH,
    HOME: directory,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Ada',
    GIT_AUTHOR_EMAIL: 'ada@example.org',
    GIT_COMMITTER_NAME: 'Ada',
    GIT_COMMITTER_EMAIL: 'ada@example.org',
  }
  return (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: directory,
      env,
      uid,
      gid: uid,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim()
}

const identity = ['-c', 'user.name=ada', '-c', 'user.email=ada@example.org']

/** Runs git and answers what it said. @throws when it fails */
export const git = (cwd: string, ...args: string[]): string =>
  execFileSync('git', [...identity, '-C', cwd, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** @throws when an object is missing or damaged */
export const expectIntact = (path: string): string => git(path, 'fsck', '--full', '--strict', '--no-progress')

/**
 * A repository with one commit and a bare remote beside it, and a hook in which git waits until it is let go on.
 */
export function heldRepository(directory: string, hook: 'pre-commit' | 'pre-push') {
  const [work, remote] = [join(directory, 'work'), join(directory, 'remote.git')]
  for (const path of [work, remote]) mkdirSync(path)
  git(remote, 'init', '--quiet', '--bare', '--initial-branch=main')
  git(work, 'init', '--quiet', '--initial-branch=main')
  writeFileSync(join(work, 'file'), 'first')
  git(work, 'add', 'file')
  git(work, 'commit', '--quiet', '-m', 'first')
  git(work, 'remote', 'add', 'origin', remote)
  // Not the hooks directory of anybody's configuration.
  git(work, 'config', 'core.hooksPath', '.git/hooks')
  writeFileSync(join(work, '.git/hooks', hook), '#!/bin/sh\ntouch hooked\nuntil [ -e go-on ]; do sleep 0.02; done\n', {
    mode: 0o755,
  })
  const commit = `echo second >file; git ${identity.join(' ')} commit -qam second`
  return {
    work,
    remote,
    /** A shell command that comes to the hook. */
    script: hook === 'pre-commit' ? commit : 'git push -q origin main',
    held: () => waitUntil(() => existsSync(join(work, 'hooked')), `git to be in its ${hook} hook`, 20_000),
    goOn: () => writeFileSync(join(work, 'go-on'), ''),
  }
}
