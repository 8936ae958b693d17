import { randomUUID } from 'node:crypto'
import type { NewEvent } from '../domain/event.ts'
import { versionIn } from '../domain/read-event.ts'
import { versionOf, type WorkflowVersion } from '../domain/workflow.ts'
import {
  type RecordedWorkflowEvent,
  type WorkflowDefinition,
  workflowEvents,
  workflowStream,
} from '../domain/workflow-events.ts'
import type { DefineWorkflowResult, RequestContext } from './control.ts'
import { defineWorkflowInputSchema, parseInput } from './inputs.ts'
import { sameJson } from './same-json.ts'
import type { UseCaseDeps } from './use-case.ts'
import { currentWorkflow } from './workflow-log.ts'

const action = 'defineWorkflow' as const

/** Every lost race means that somebody else's version came in between: so many in a row are a bug, not bad luck. */
const attemptsMax = 50

/**
 * Records a new version of a workflow; the same definition again is none. Versions have no gap: two that are defined
 * at once come one after the other.
 */
export async function defineWorkflow(
  deps: UseCaseDeps,
  context: RequestContext,
  input: unknown,
): Promise<DefineWorkflowResult> {
  const parsed = parseInput(defineWorkflowInputSchema, input)
  if (!parsed.ok) {
    await deps.audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { name, description, policy, labels, ...launch } = parsed.value
  const definition = { launch, policy, labels, ...(description === undefined ? {} : { description }) }
  const attempt = { action, target: name, reason: null, details: {} }
  return deps.audit.allowed(context, attempt, async () => {
    const { workflow, created, position } = await define(deps, context, name, definition)
    await deps.workflowsFollowed(position)
    return {
      result: { type: 'DefineWorkflowAnswer', workflow, created },
      outcome: created ? 'ACCEPTED' : 'JOINED',
      detail: created
        ? `Version ${workflow.version} of ${name} was defined.`
        : `The same definition was in force already, as version ${workflow.version} of ${name}.`,
    }
  })
}

type WorkflowDefined = NewEvent<'WorkflowDefined', RecordedWorkflowEvent['data']>
type Defined = { workflow: WorkflowVersion; created: boolean; position: number }

async function define(
  { store, now }: UseCaseDeps,
  context: RequestContext,
  name: string,
  definition: WorkflowDefinition,
): Promise<Defined> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const current = await currentWorkflow(store, name)
    if (current !== undefined && sameJson(current.workflow.definition, definition)) {
      return { workflow: current.workflow, created: false, position: current.position }
    }
    const version = (current?.workflow.version ?? 0) + 1
    const event = defined({ name, version, definition }, context, now)
    const appended = await store.append(workflowStream(name), [event], current?.revision ?? 'no-stream')
    if (appended.outcome === 'appended') {
      return { workflow: versionOf(event), created: true, position: appended.position }
    }
  }
  throw new Error(`the definition of ${name} lost the race for its stream ${attemptsMax} times in a row`)
}

const defined = (
  data: WorkflowDefined['data'],
  { actor, correlationId }: RequestContext,
  now: () => Date,
): WorkflowDefined => ({
  type: 'WorkflowDefined',
  v: versionIn(workflowEvents, 'WorkflowDefined'),
  data,
  metadata: { eventId: randomUUID(), actor, correlationId, occurredAt: now().toISOString() },
})
