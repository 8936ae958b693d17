import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunId } from '../../src/domain/ids.ts'

/** The content of a file in a run's workspace, or, once that is removed, in its salvage bundle. undefined: it is in neither. */
export function keptFile(hostDirectory: string, runId: RunId, name: string): string | undefined {
  const path = join(hostDirectory, 'workspaces', runId, name)
  if (existsSync(path)) return readFileSync(path, 'utf8')
  const archive = join(hostDirectory, 'artifacts', runId, 'files.tar')
  if (!existsSync(archive)) return undefined
  const names = execFileSync('tar', ['-tf', archive], { encoding: 'utf8' }).split('\n')
  return names.includes(`./${name}`)
    ? execFileSync('tar', ['-xOf', archive, `./${name}`], { encoding: 'utf8' })
    : undefined
}
