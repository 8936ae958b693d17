import { z } from 'zod'
import type { RecordedEvent } from './event.ts'
import { labelsSchema } from './labels.ts'
import { launchSpecSchema } from './launch.ts'
import { policyInputSchema } from './policy.ts'
import { type EventFamily, readEvent } from './read-event.ts'

export const workflowNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$/, 'is no workflow name: 1–100 letters, digits and . _ : / -')

/** How runs of a workflow are started, unless their request says otherwise. */
export const workflowDefinitionSchema = z.strictObject({
  launch: launchSpecSchema,
  /** What differs from the standard policy. */
  policy: policyInputSchema.default({}),
  labels: labelsSchema.default({}),
  /** For people. */
  description: z.string().max(2000).optional(),
})
export type WorkflowDefinition = z.infer<typeof workflowDefinitionSchema>

/** The current schema of every event of a `workflow-…` stream, by type. */
export const workflowEventSchemas = {
  /** Versions of a workflow are numbered from 1 without a gap; none is ever changed. */
  WorkflowDefined: z.object({
    name: workflowNameSchema,
    version: z.number().int().positive(),
    definition: workflowDefinitionSchema,
  }),
} as const

export const workflowEvents: EventFamily<typeof workflowEventSchemas> = { schemas: workflowEventSchemas, upcasters: {} }

export type RecordedWorkflowEvent = RecordedEvent<
  'WorkflowDefined',
  z.infer<(typeof workflowEventSchemas)['WorkflowDefined']>
>

export const workflowStream = (name: string) => `workflow-${name}`

/** undefined for an event that is no workflow's. @throws Error when the data does not fit its schema. */
export function readWorkflowEvent(event: RecordedEvent): RecordedWorkflowEvent | undefined {
  return readEvent(workflowEvents, event)
}
