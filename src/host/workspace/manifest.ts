import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunId } from '../../domain/ids.ts'
import { type LeftOut, leftOutNamedMax, type Salvage, salvageSchema } from '../../domain/salvage.ts'
import { isGone } from '../../os/process-identity.ts'
import type { KeptCommit } from './commits.ts'

/** What a salvage bundle says of itself. */
export type Manifest = {
  runId: RunId
  salvage: Omit<Salvage, 'leftOut'>
  /** As in the event, but that it names more. */
  leftOut: { count: number; bytes: number; entries: LeftOut[] }
  /** In `commits.bundle`; where the worktree's own directory in the repository named them. */
  commits: KeptCommit[]
}

const namedMax = 10_000
const fileName = 'manifest.json'

/** As the event has it: it names less of what was left out. */
export const salvageOf = ({ salvage, leftOut }: Manifest): Salvage => ({
  ...salvage,
  leftOut: { ...leftOut, entries: leftOut.entries.slice(0, leftOutNamedMax) },
})

/** @returns undefined: there is no bundle @throws when it is none of ours */
export async function readManifest(bundle: string): Promise<Manifest | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(bundle, fileName), 'utf8')) as Manifest
    salvageSchema.parse(salvageOf(manifest))
    return manifest
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** The last file of a bundle. */
export async function writeManifest(bundle: string, manifest: Manifest): Promise<void> {
  const { leftOut, commits } = manifest
  const content = {
    ...manifest,
    leftOut: { ...leftOut, entries: leftOut.entries.slice(0, namedMax) },
    commits: commits.slice(0, namedMax),
  }
  const text = `${JSON.stringify(content, null, 2)}\n`
  await writeFile(join(bundle, fileName), text, { mode: 0o600, flush: true })
}
