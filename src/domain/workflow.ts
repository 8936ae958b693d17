import type { Actor } from './event.ts'
import type { LaunchSpec } from './launch.ts'
import { type Policy, type PolicyInput, resolvePolicy } from './policy.ts'
import type { RecordedWorkflowEvent, WorkflowDefinition } from './workflow-events.ts'

/** One version of a workflow: what runs are started with until the next one is defined. */
export type WorkflowVersion = {
  name: string
  /** From 1, without a gap. */
  version: number
  definition: WorkflowDefinition
  /** ISO 8601 UTC. */
  definedAt: string
  definedBy: Actor
}

export const versionOf = ({ data, metadata }: Pick<RecordedWorkflowEvent, 'data' | 'metadata'>): WorkflowVersion => ({
  ...data,
  definedAt: metadata.occurredAt,
  definedBy: metadata.actor,
})

/** What a request says itself, over the definition that it names. */
export type OwnParameters = {
  [Key in 'workspace' | 'env' | 'secretEnv' | 'runAs' | 'prompt' | 'limits']?: LaunchSpec[Key] | undefined
} & { policy: PolicyInput; labels: Record<string, string> }

/**
 * What a run is started with by the name of its workflow: the request's own wins; variables and labels are put
 * together by name. Together they may be more than a launch may have: to be checked by the caller.
 */
export function parametersOf(
  { launch, policy, labels }: WorkflowDefinition,
  own: OwnParameters,
): { launch: LaunchSpec; policy: Policy; labels: Record<string, string> } {
  const { workspace, env = {}, secretEnv, runAs, prompt, limits } = own
  return {
    launch: {
      ...launch,
      ...(workspace === undefined ? {} : { workspace }),
      env: { ...launch.env, ...env },
      // At launch the value of a secret wins over a variable of the same name: a name that is given a value is no secret any more.
      secretEnv: secretEnv ?? launch.secretEnv.filter((name) => !Object.hasOwn(env, name)),
      ...(runAs === undefined ? {} : { runAs }),
      ...(limits === undefined ? {} : { limits: { ...launch.limits, ...limits } }),
      ...(prompt === undefined ? {} : { prompt }),
    },
    policy: resolvePolicy(policy, own.policy),
    labels: { ...labels, ...own.labels },
  }
}
