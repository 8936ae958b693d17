import type { RequestRun } from '../domain/decide.ts'
import { labelsSchema } from '../domain/labels.ts'
import { type LaunchSpec, launchSpecSchema } from '../domain/launch.ts'
import { impossibleIn, type PolicyInput, resolvePolicy } from '../domain/policy.ts'
import { parametersOf } from '../domain/workflow.ts'
import type { InvalidInput, UnknownWorkflow } from './control.ts'
import { invalidInput, parseInput, type StartRunInput } from './inputs.ts'
import { unknownWorkflow } from './unknown-workflow.ts'
import type { UseCaseDeps } from './use-case.ts'
import { currentWorkflow, workflowVersion } from './workflow-log.ts'

/** Of runs whose request names no workflow. */
const standardWorkflow = 'adhoc'

export type RunParameters = Pick<RequestRun, 'workflow' | 'workflowVersion' | 'policy' | 'labels'> & {
  launch: LaunchSpec
}

/**
 * What a run is requested with: its own command line, under whatever name; without one, the definition of its workflow
 * with what the request says over it.
 * @param version of the definition; undefined: the one that is in force.
 * @throws StoreUnavailable
 */
export async function runParameters(
  deps: UseCaseDeps,
  input: StartRunInput,
  version: number | undefined,
): Promise<RunParameters | InvalidInput | UnknownWorkflow> {
  const { workflow = standardWorkflow, workflowVersion: _version, idempotencyKey: _key, ...own } = input
  const { policy, labels, command, ...launch } = own
  if (command !== undefined) {
    const refused = refusedPolicy(policy)
    if (refused !== undefined) return refused
    return {
      workflow,
      launch: launchSpecSchema.parse({ command, ...launch }),
      policy: resolvePolicy(policy),
      labels,
    }
  }
  const defined =
    version === undefined
      ? (await currentWorkflow(deps.store, workflow))?.workflow
      : await workflowVersion(deps.store, workflow, version)
  if (defined === undefined) return unknownWorkflow(deps, workflow, version)
  const refused = refusedPolicy(defined.definition.policy, policy)
  if (refused !== undefined) return refused
  const merged = parametersOf(defined.definition, own)
  // Each was within the limits; together they may not be.
  const checked = parseInput(mergedSchema, { ...merged.launch, labels: merged.labels })
  if (!checked.ok) return checked.failure
  return { ...merged, workflow, workflowVersion: defined.version }
}

function refusedPolicy(...layers: PolicyInput[]): InvalidInput | undefined {
  const impossible = impossibleIn(...layers)
  if (impossible === undefined) return undefined
  return invalidInput([{ path: `policy.${impossible.threshold}`, message: impossible.message }])
}

const mergedSchema = launchSpecSchema.extend({ labels: labelsSchema })
