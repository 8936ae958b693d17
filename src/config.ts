import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { isKurrentUrl, KurrentAddressError, readKurrentAddress } from './event-store/kurrentdb-address.ts'

/** A setting that cannot be used. The message names the variable, its value and what it takes. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
}

const postgresUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\//, 'is no PostgreSQL URL: write postgres://user:password@host:5432/database')

const eventStoreUrl = z.string().superRefine((url, context) => {
  const message = isKurrentUrl(url) ? whyNotKurrent(url) : whyNotPostgres(url)
  if (message !== undefined) context.addIssue({ code: 'custom', message })
})

function whyNotKurrent(url: string): string | undefined {
  try {
    readKurrentAddress(url)
    return undefined
  } catch (error) {
    if (!(error instanceof KurrentAddressError)) throw error
    return error.message
  }
}

const whyNotPostgres = (url: string) =>
  postgresUrl.safeParse(url).success
    ? undefined
    : 'is no URL of an event store: write postgres://user:password@host:5432/database or kurrentdb://user:password@host:2113'

function wholeNumber(min: number, max: number) {
  const message = `is no whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message)
}

/** Runs that may live at the same time on this host: agents wait for a network most of the time. */
const defaultCapacity = Math.max(16, 8 * availableParallelism())

const schema = z.object({
  RUNWARDEN_PORT: wholeNumber(0, 65_535).default(4680),
  RUNWARDEN_ADDRESS: z.string().min(1).default('127.0.0.1'),
  RUNWARDEN_CAPACITY: wholeNumber(1, 100_000).default(defaultCapacity),
  RUNWARDEN_CHECK_INTERVAL_MS: wholeNumber(100, 60_000).default(5_000),
  RUNWARDEN_CANARY_INTERVAL_MS: wholeNumber(0, 999_999_999).default(15 * 60_000),
  RUNWARDEN_SALVAGE_MAX_BYTES: wholeNumber(0, 1024 ** 4).default(256 * 1024 ** 2),
  RUNWARDEN_KEEP_DAYS: wholeNumber(0, 36_500).default(30),
  RUNWARDEN_KEEP_MAX_BYTES: wholeNumber(0, 1024 ** 5).default(20 * 1024 ** 3),
  RUNWARDEN_LOW_DISK_BYTES: wholeNumber(0, 1024 ** 5).default(1024 ** 3),
  RUNWARDEN_LOW_DISK_PERCENT: wholeNumber(0, 50).default(5),
  RUNWARDEN_TELEMETRY_KEEP_DAYS: wholeNumber(1, 36_500).default(30),
  RUNWARDEN_TELEMETRY_KEEP_EVENTS: wholeNumber(1, 999_999_999).default(10_000),
  RUNWARDEN_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  RUNWARDEN_POSTGRES_ACCOUNT: z.string().min(1).optional(),
  RUNWARDEN_CGROUPS: z.enum(['auto', 'off']).default('auto'),
  DATABASE_URL: postgresUrl.optional(),
  EVENT_STORE_URL: eventStoreUrl.optional(),
})

export type Config = {
  /** 0: any free port. */
  port: number
  address: string
  capacity: number
  /** Milliseconds between two looks at every live run. R16 allows a minute at most. */
  checkIntervalMs: number
  /** Milliseconds from one readiness canary to the next; 0: only on request. */
  canaryIntervalMs: number
  /** Of what is kept of a workspace. */
  salvageMaxBytes: number
  /** Of salvage bundles, and of workspaces that could not be removed. */
  retention: { maxAgeMs: number; maxBytes: number }
  /** Below which free space people are alerted. */
  lowDisk: { bytes: number; percent: number }
  /** Of the heartbeats of a run that has ended. */
  telemetryRetention: { maxAgeMs: number; maxCount: number }
  logLevel: z.infer<typeof schema>['RUNWARDEN_LOG_LEVEL']
  postgresAccount: string | undefined
  cgroups: 'auto' | 'off'
  /** Where the projections are (and the events, unless `eventStoreUrl` says otherwise); undefined: the embedded server. */
  databaseUrl: string | undefined
  /** Of PostgreSQL or of KurrentDB; undefined: with the projections. */
  eventStoreUrl: string | undefined
}

/** URLs may hold a password: of those only the variable's name is shown. */
const secretVariables = ['DATABASE_URL', 'EVENT_STORE_URL']

/** Reads the environment; a variable that is set to nothing counts as not set. @throws ConfigurationError */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const set = Object.fromEntries(Object.entries(env).filter(([name, value]) => name in schema.shape && value !== ''))
  const parsed = schema.safeParse(set)
  if (!parsed.success) throw new ConfigurationError(parsed.error.issues.map((issue) => explain(issue, set)).join('\n'))
  const values = parsed.data
  return {
    port: values.RUNWARDEN_PORT,
    address: values.RUNWARDEN_ADDRESS,
    capacity: values.RUNWARDEN_CAPACITY,
    checkIntervalMs: values.RUNWARDEN_CHECK_INTERVAL_MS,
    canaryIntervalMs: values.RUNWARDEN_CANARY_INTERVAL_MS,
    salvageMaxBytes: values.RUNWARDEN_SALVAGE_MAX_BYTES,
    retention: {
      maxAgeMs: values.RUNWARDEN_KEEP_DAYS * 24 * 60 * 60_000,
      maxBytes: values.RUNWARDEN_KEEP_MAX_BYTES,
    },
    lowDisk: { bytes: values.RUNWARDEN_LOW_DISK_BYTES, percent: values.RUNWARDEN_LOW_DISK_PERCENT },
    telemetryRetention: {
      maxAgeMs: values.RUNWARDEN_TELEMETRY_KEEP_DAYS * 24 * 60 * 60_000,
      maxCount: values.RUNWARDEN_TELEMETRY_KEEP_EVENTS,
    },
    logLevel: values.RUNWARDEN_LOG_LEVEL,
    postgresAccount: values.RUNWARDEN_POSTGRES_ACCOUNT,
    cgroups: values.RUNWARDEN_CGROUPS,
    databaseUrl: values.DATABASE_URL,
    eventStoreUrl: values.EVENT_STORE_URL ?? values.DATABASE_URL,
  }
}

function explain(issue: z.core.$ZodIssue, set: Record<string, string | undefined>): string {
  const name = String(issue.path[0])
  const value = secretVariables.includes(name) ? '' : ` is ${JSON.stringify(set[name])}, which`
  return `${name}${value} ${issue.message}.`
}
