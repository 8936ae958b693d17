import { z } from 'zod'

export const limitNames = ['memory', 'pids', 'cpu', 'openFiles'] as const
export type LimitName = (typeof limitNames)[number]

const mebibyte = 1024 * 1024

/** What a run may take of its machine. What is left out is not limited. */
export const resourceLimitsSchema = z.strictObject({
  /** 16 MiB at least: with less, not even a shell comes up. */
  memoryBytes: z
    .number('is no number of bytes')
    .int('is no whole number of bytes')
    .min(16 * mebibyte, 'is less than 16 MiB')
    .max(2 ** 50, 'is more than 1 PiB')
    .optional(),
  /** Live processes and threads. */
  pids: z
    .number()
    .int('is no whole number')
    .min(2, 'is less than 2')
    .max(4_194_304, 'is more than 4,194,304')
    .optional(),
  /** Of one core: 150 is one and a half. */
  cpuPercent: z.number().min(1, 'is less than 1 per cent').max(102_400, 'is more than 1,024 cores').optional(),
  /** Open file descriptors of each process. */
  openFiles: z
    .number()
    .int('is no whole number')
    .min(16, 'is less than 16')
    .max(1_048_576, 'is more than 1,048,576')
    .optional(),
  /** A host that cannot enforce all of them refuses the launch. */
  required: z.boolean().optional(),
})
export type ResourceLimits = z.infer<typeof resourceLimitsSchema>

/** What became of a limit that was asked for. */
export const limitReportSchema = z.object({
  limit: z.enum(limitNames),
  /** Bytes, processes, per cent of one core, files. */
  requested: z.number().positive(),
  /** `none`: its host cannot. `cgroup`: of the whole tree. `rlimit`: of each process, or as `detail` says. */
  enforcedBy: z.enum(['cgroup', 'rlimit', 'none']),
  /** For people: what is limited, and what is not. */
  detail: z.string().max(500),
})
export type LimitReport = z.infer<typeof limitReportSchema>

/** Of a run, as it was launched; absent: it was asked for none. */
export const limitReportsSchema = z.array(limitReportSchema).max(20).optional()

/** Those that were asked for, in a fixed order. */
export function requestedLimits(limits: ResourceLimits | undefined): { limit: LimitName; requested: number }[] {
  const { memoryBytes, pids, cpuPercent, openFiles } = limits ?? {}
  const all = { memory: memoryBytes, pids, cpu: cpuPercent, openFiles }
  return limitNames.flatMap((limit) => (all[limit] === undefined ? [] : { limit, requested: all[limit] }))
}

/** The code of notices about limits. */
export const limitNotice = 'LIMIT_NOT_ENFORCED'

/** Said of a run whose limits its host cannot enforce: nobody is to believe that it is held to them. */
export const limitNotices = (reports: readonly LimitReport[]) =>
  reports
    .filter(({ enforcedBy }) => enforcedBy === 'none')
    .map(({ limit, detail }) => ({ code: limitNotice, detail: `${limit}: ${detail}` }))
