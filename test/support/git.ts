import { execFileSync } from 'node:child_process'

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
