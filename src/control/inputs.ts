import { z } from 'zod'
import { canaryWorkflow } from '../domain/canary-events.ts'
import { runIdSchema } from '../domain/ids.ts'
import { labelsSchema } from '../domain/labels.ts'
import { launchSpecSchema } from '../domain/launch.ts'
import { impossibleIn, policyInputSchema } from '../domain/policy.ts'
import { forcedOutcomeSchema, restartDefinitionSchema } from '../domain/run-events.ts'
import { workflowNameSchema } from '../domain/workflow-events.ts'
import { type InvalidInput, killWaits } from './control.ts'

const idempotencyKey = z.string().min(1, 'is empty').max(200, 'is longer than 200 characters').optional()
const reason = z.string().max(2000, 'is longer than 2,000 characters').nullish()
/** Lists leave out the runs of that name: somebody's own among them would never be seen. */
const userWorkflow = workflowNameSchema.refine(
  (name) => name !== canaryWorkflow,
  `is "${canaryWorkflow}", which only the readiness canary's own decoys are called: choose another name`,
)

export const skipProjectionEventInputSchema = z.strictObject({
  name: z.string().max(100, 'is longer than 100 characters'),
  position: z.number().int('is no position of an event').positive('is no position of an event'),
  reason,
})

/** Where no other layer comes before it. */
const wholePolicy = policyInputSchema.default({}).superRefine((layer, { addIssue }) => {
  const impossible = impossibleIn(layer)
  if (impossible !== undefined) addIssue({ code: 'custom', path: [impossible.threshold], message: impossible.message })
})

/** A value over this would outlive every default that matters; the kill goes on after the wait in any case. */
const waitMsMax = 10 * 60_000

const launchShape = launchSpecSchema.shape

/** What is left out comes from the workflow's definition; with a command there is none, and the standards are used. */
const startRunInput = (workflowName: z.ZodType<string>) =>
  z
    .strictObject({
      ...launchShape,
      driver: launchShape.driver.unwrap().optional(),
      command: launchShape.command.optional(),
      workspace: launchShape.workspace.unwrap().optional(),
      env: launchShape.env.unwrap().optional(),
      secretEnv: launchShape.secretEnv.unwrap().optional(),
      workflow: workflowName.optional(),
      workflowVersion: z.number().int().min(1, 'is no version: they are numbered from 1').optional(),
      policy: policyInputSchema.default({}),
      labels: labelsSchema.default({}),
      idempotencyKey,
    })
    .superRefine(({ command, workflow, workflowVersion }, { addIssue }) => {
      const issue = (path: string, message: string) => addIssue({ code: 'custom', path: [path], message })
      if (command === undefined && workflow === undefined) {
        issue('command', 'is missing: give one, or the name of a workflow that is defined')
      }
      if (workflowVersion === undefined) return
      if (workflow === undefined) issue('workflowVersion', 'is of no workflow: name one')
      else if (command !== undefined) issue('workflowVersion', 'has a command of its own: leave out one of the two')
    })
export const startRunInputSchema = startRunInput(userWorkflow)
/** Of the readiness canary itself. */
export const decoyInputSchema = startRunInput(workflowNameSchema)
export type StartRunInput = z.infer<typeof startRunInputSchema>

export const defineWorkflowInputSchema = launchSpecSchema.extend({
  name: userWorkflow,
  description: z
    .string()
    .max(2000, 'is longer than 2,000 characters')
    .refine((text) => !text.includes('\0'), 'holds a NUL character, which no text can')
    .optional(),
  policy: wholePolicy,
  labels: labelsSchema.default({}),
})

export const killRunInputSchema = z.strictObject({
  runId: z.string().max(200, 'is longer than 200 characters'),
  force: z.boolean().default(false),
  emergency: z.boolean().default(false),
  reason,
  waitFor: z.enum(killWaits).default('CLEANED'),
  timeoutMs: z.number().int().min(0).max(waitMsMax).default(30_000),
  idempotencyKey,
})
export type KillRunInput = z.infer<typeof killRunInputSchema>

export const restartRunInputSchema = z.strictObject({
  runId: z.string().max(200, 'is longer than 200 characters'),
  definition: restartDefinitionSchema.default('RECORDED'),
  prompt: launchShape.prompt.nullish(),
  reason,
  timeoutMs: z.number().int().min(0).max(waitMsMax).default(30_000),
})
export type RestartRunInput = z.infer<typeof restartRunInputSchema>

export const forceCompleteRunInputSchema = z.strictObject({
  runId: z.string().max(200, 'is longer than 200 characters'),
  outcome: forcedOutcomeSchema.default('FAILED'),
  reason,
  timeoutMs: z.number().int().min(0).max(waitMsMax).default(30_000),
})

/** Of a resumption too. */
export const pauseRunInputSchema = z.strictObject({
  runId: z.string().max(200, 'is longer than 200 characters'),
  reason,
  timeoutMs: z.number().int().min(0).max(waitMsMax).default(10_000),
})
export type PauseRunInput = z.infer<typeof pauseRunInputSchema>

export const registerProcessInputSchema = z.strictObject({
  runId: runIdSchema.nullish(),
  pid: z.number().int().min(1).max(4_194_304, 'is larger than any pid of Linux (4,194,304)'),
  workspacePath: z
    .string()
    .max(4096)
    .refine((path) => path.startsWith('/'), 'is not an absolute path')
    .nullish(),
  workflow: userWorkflow.default('adhoc'),
  policy: wholePolicy,
})
export type RegisterProcessInput = z.infer<typeof registerProcessInputSchema>

/** Drops keys whose value is null: GraphQL clients send them where they mean "not given". */
function withoutNulls(input: unknown): unknown {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return input
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null))
}

/** At most this many issues are told: enough to mend an input, too few to flood a log. */
const issuesMax = 20

export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
): { ok: true; value: z.infer<Schema> } | { ok: false; failure: InvalidInput } {
  const parsed = schema.safeParse(withoutNulls(input))
  if (parsed.success) return { ok: true, value: parsed.data }
  const issues = parsed.error.issues.map((issue) => ({
    path: issue.path.map(String).join('.'),
    message: issue.message,
  }))
  return { ok: false, failure: invalidInput(issues.slice(0, issuesMax)) }
}

export function invalidInput(issues: InvalidInput['issues']): InvalidInput {
  const message = `Nothing was done: ${issues.map(({ path, message }) => `${path || 'the input'} ${message}`).join('; ')}.`
  return { type: 'InvalidInput', message: message.slice(0, 2000), issues }
}
