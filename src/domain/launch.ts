import { z } from 'zod'
import { resourceLimitsSchema } from './resource-limits.ts'
import { workspaceSchema } from './workspace.ts'

/** Linux refuses a single argument or `NAME=value` of 128 KiB (MAX_ARG_STRLEN), its NUL included. */
const argumentBytesMax = 128 * 1024 - 1
/** Of the usual ARG_MAX of 2 MiB, which argv and environment share; the rest is for what the host adds. */
const commandBytesMax = 1024 * 1024
const environmentBytesMax = 512 * 1024

const bytes = (text: string) => new TextEncoder().encode(text).length
const withoutNul = (text: string) => !text.includes('\0')

const argument = z
  .string()
  .refine(withoutNul, 'holds a NUL byte, which no argument can')
  .refine((text) => bytes(text) <= argumentBytesMax, 'is longer than 131,071 bytes; pass it in a file instead')

const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is no variable name: letters, digits and _ only, no digit first')
  .max(200)
  .refine((name) => !name.startsWith('RUNWARDEN_'), 'starts with RUNWARDEN_, which is reserved for what Runwarden sets')

/** argv of a run: the executable, then its arguments. */
export const commandSchema = z
  .array(argument)
  .min(1, 'is empty: name at least the executable')
  .max(4096, 'has more than 4,096 arguments')
  .refine((command) => command[0] !== '', 'names an empty executable')
  .refine(
    (command) => command.reduce((sum, text) => sum + bytes(text) + 1, 0) <= commandBytesMax,
    'is longer than 1 MiB in all; pass long input in a file instead',
  )

/** Checked name by name: a record's own key schema would only say "Invalid key". */
const environmentSchema = z
  .record(z.string(), argument)
  .refine((env) => Object.keys(env).length <= 500, 'has more than 500 variables')
  .refine(
    (env) =>
      Object.entries(env).reduce((sum, [name, value]) => sum + bytes(name) + bytes(value) + 2, 0) <=
      environmentBytesMax,
    'is longer than 512 KiB in all; pass long input in a file instead',
  )
  .superRefine((env, context) => {
    for (const [name, value] of Object.entries(env)) {
      for (const { message } of variableName.safeParse(name).error?.issues ?? []) {
        context.addIssue({ code: 'custom', path: [name], message })
      }
      if (bytes(name) + 1 + bytes(value) > argumentBytesMax) {
        context.addIssue({ code: 'custom', path: [name], message: 'is longer than 131,071 bytes, its name included' })
      }
    }
  })

/** What a host needs to know to launch a run, as it was asked for and as it is recorded. */
export const launchSpecSchema = z.strictObject({
  driver: z.literal('command').default('command'),
  command: commandSchema,
  workspace: workspaceSchema.default({ kind: 'TEMPORARY' }),
  /** Recorded as it is: nothing secret belongs here. */
  env: environmentSchema.default({}),
  /** Names only; the values are looked up on the host at each launch and stored nowhere. */
  secretEnv: z.array(variableName).max(100).default([]),
  /** Account of the run; without it, the account of the host agent. */
  runAs: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'is no account name')
    .optional(),
  limits: resourceLimitsSchema.optional(),
  /** Reaches the run as RUNWARDEN_PROMPT. */
  prompt: z
    .string()
    .refine(withoutNul, 'holds a NUL byte')
    .refine((text) => bytes(text) <= 120_000, 'is longer than 120,000 bytes')
    .optional(),
})
export type LaunchSpec = z.infer<typeof launchSpecSchema>
