import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Of nobody's configuration; whoever calls this may add to it. */
export const gitEnvironment = {
  PATH: process.env.PATH,
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
}

/** Git of the test's own account in a directory; what it prints, without the last line end. @throws when it fails */
export const git = (directory: string, ...args: string[]): string =>
  execFileSync('git', ['-C', directory, '-c', 'safe.directory=*', ...args], {
    encoding: 'utf8',
    env: gitEnvironment,
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trimEnd()

/** A repository with one commit on `main`. @returns its path */
export function makeRepository(path: string, files: Record<string, string | Buffer> = { 'a.txt': 'one\n' }): string {
  mkdirSync(path, { recursive: true })
  chmodSync(path, 0o755)
  git(path, 'init', '--quiet', '--initial-branch=main')
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(path, name, '..'), { recursive: true })
    writeFileSync(join(path, name), content)
  }
  git(path, 'add', '--all', '--force')
  git(path, 'commit', '--quiet', '--message=first')
  return path
}
