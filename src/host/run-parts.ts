import type { OpenSection } from '../domain/critical-section.ts'
import type { DesiredRun } from '../domain/host-link.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { Bell } from './bell.ts'
import type { Cgroup } from './cgroup.ts'
import { FactLog } from './fact-log.ts'
import { LadderLog } from './ladder-log.ts'
import type { LaunchRecord, Started } from './launch.ts'
import { Output } from './output.ts'
import { Pausing } from './pausing.ts'
import { factLogOptions, type RunContext } from './run-context.ts'
import { type RunPaths, runPaths } from './run-directory.ts'
import type { Telemetry } from './telemetry.ts'
import type { Tree } from './tree.ts'

/** What the disk says of one run, each part with what may be done to it. */
export type RunParts = {
  paths: RunPaths
  facts: FactLog
  ladder: LadderLog
  output: Output
  pausing: Pausing
  /** Rings when something is wanted of the run, or has become of it. */
  bell: Bell
}

/** A live process, as far as this host can know it. */
export type Live = {
  root: ProcessIdentity | null
  shim: ProcessIdentity | null
  cgroup: Cgroup | null
  visible: boolean
  tree: Tree
  telemetry: Telemetry
  /** Where it must not be cut off now. */
  openSections(): Promise<OpenSection[]>
}

/** What is told of a run once it is there. Of a registered process nobody is its shim. */
export type Begun = Omit<Started, 'shim'> &
  Pick<Live, 'shim'> &
  Pick<LaunchRecord, 'limits'> & { workspacePath: string | null }

export async function openParts(desired: DesiredRun, context: RunContext): Promise<RunParts> {
  const { crashPoint, outputCapBytes, readTable } = context
  const paths = runPaths(context.hostDirectory, desired.runId)
  const bell = new Bell()
  const facts = await FactLog.open(factLogOptions(desired, context))
  const ladder = await LadderLog.open(paths.ladder, crashPoint)
  const output = await Output.open(paths, outputCapBytes)
  const pausing = await Pausing.open({
    ...{ path: paths.pause, facts, readTable, crashPoint },
    mayStop: () => ladder.kill === null && ladder.step('begun') === undefined,
    onWish: () => bell.ring(),
  })
  return { paths, facts, ladder, output, pausing, bell }
}
