import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DesiredRun, Fact } from '../src/domain/host-link.ts'
import { launchSpecSchema } from '../src/domain/launch.ts'
import type { Workspace } from '../src/domain/workspace.ts'
import { createHost, type Host } from '../src/host/host.ts'
import { type Bench, median, percentile } from './bench.ts'

const rounds = 5
/** Only what goes wrong. */
const quiet = { info() {}, warn: console.warn, error: console.error }
const [directories, filesEach, fileBytes] = [100, 100, 400]

/** What a run does in its workspace before it ends. */
const fill = {
  TEMPORARY: 'cp -r "$0"/. .',
  GIT_WORKTREE: 'for d in 0/*; do echo changed >"$d"; done; cp -r "$0"/1 new',
}

/**
 * From the proof that a run's tree is gone to its last cleanup step, on a host of its own: a workspace of 10,000 files
 * is salvaged (every file of a TEMPORARY one; 100 changed and 100 new files of a git worktree) and removed.
 */
export const cleanup: Bench = {
  name: 'cleanup',
  async run() {
    const directory = await mkdtemp(join(tmpdir(), 'runwarden-bench-'))
    await chmod(directory, 0o711)
    const template = await makeTemplate(join(directory, 'template'))
    const repository = makeRepository(template, join(directory, 'repository'))
    const host = await createHost({ hostDirectory: join(directory, 'host'), capacity: 1, log: quiet })
    try {
      await host.start()
      const temporaryMs: number[] = []
      const worktreeMs: number[] = []
      const rmMs: number[] = []
      for (let round = 0; round < rounds; round += 1) {
        process.stderr.write(`cleanup: round ${round + 1} of ${rounds}\n`)
        temporaryMs.push(await cleanedAfterMs(host, template, { kind: 'TEMPORARY' }))
        worktreeMs.push(await cleanedAfterMs(host, template, { kind: 'GIT_WORKTREE', repository }))
        rmMs.push(removedAfterMs(template, join(directory, 'copy')))
      }
      const figures = {
        temporary10000P50Ms: median(temporaryMs),
        temporary10000P99Ms: percentile(temporaryMs, 99),
        worktree10000P50Ms: median(worktreeMs),
        worktree10000P99Ms: percentile(worktreeMs, 99),
      }
      // Keeps nothing, and asks nobody whether the directory is still in use: the floor of what a cleanup can take.
      const removal = { files10000P50Ms: median(rmMs), files10000P99Ms: percentile(rmMs, 99) }
      return {
        figures,
        peers: { 'rm -rf': removal },
        ratios: { 'rm -rf': removal.files10000P50Ms / figures.temporary10000P50Ms },
      }
    } finally {
      await host.close()
      await rm(directory, { recursive: true, force: true })
    }
  },
}

async function makeTemplate(path: string): Promise<string> {
  for (let directory = 0; directory < directories; directory += 1) {
    await mkdir(join(path, String(directory)), { recursive: true })
    for (let file = 0; file < filesEach; file += 1) {
      await writeFile(join(path, String(directory), String(file)), randomBytes(fileBytes))
    }
  }
  return path
}

function makeRepository(template: string, path: string): string {
  execFileSync('cp', ['-r', template, path])
  const identity = ['-c', 'user.name=bench', '-c', 'user.email=bench@example.org']
  for (const args of [
    ['init', '-q'],
    ['add', '.'],
    [...identity, 'commit', '-qm', 'files'],
  ]) {
    execFileSync('git', ['-C', path, ...args])
  }
  return path
}

async function cleanedAfterMs(host: Host, template: string, workspace: Workspace): Promise<number> {
  const runId = `run_${randomBytes(6).toString('hex')}`
  const command = ['sh', '-ec', fill[workspace.kind as keyof typeof fill], template]
  const desired: DesiredRun = {
    ...{ runId, order: 1, kill: null, factSequence: 0, leftovers: { graceMs: 1_000, proofDeadlineMs: 10_000 } },
    work: { kind: 'launch', launch: launchSpecSchema.parse({ command, workspace }) },
  }
  await host.want(desired)
  const ended = new AbortController()
  const at = new Map<Fact['body']['type'], number>()
  for await (const facts of host.facts(ended.signal)) {
    for (const { body, occurredAt, sequence } of facts) {
      at.set(body.type, Date.parse(occurredAt))
      if (body.type === 'CleanupStepFailed' || body.type === 'LaunchFailed') throw new Error(JSON.stringify(body))
      if (body.type === 'RunCleaned') ended.abort()
      await host.acknowledge(runId, sequence)
    }
  }
  if (!at.has('WorkspaceSalvaged')) throw new Error('not what was measured: nothing was salvaged')
  return (at.get('RunCleaned') ?? Number.NaN) - (at.get('TreeGone') ?? Number.NaN)
}

function removedAfterMs(template: string, copy: string): number {
  execFileSync('cp', ['-r', template, copy])
  const started = performance.now()
  execFileSync('rm', ['-rf', '--', copy])
  return performance.now() - started
}
