import { z } from 'zod'
import { sizeText } from './size.ts'

/** What the kernel counted in a run's cgroup when memory ran out, by its end. */
export const outOfMemorySchema = z.object({
  /** Processes of the run that the kernel killed for it. */
  kills: z.number().int().positive(),
  /** How often the run had reached a limit of its own cgroup, or of one inside. 0: the memory of others ran out. */
  limitHits: z.number().int().nonnegative(),
  /** memory.max of its cgroup at the end, in bytes; null: it had none. */
  limitBytes: z.number().int().nonnegative().nullable(),
})
export type OutOfMemory = z.infer<typeof outOfMemorySchema>

/** Such as `its cgroup hit memory.max (512.0 MiB), 1 process OOM-killed`. */
export function outOfMemoryText({ kills, limitHits, limitBytes }: OutOfMemory): string {
  const killed = `${kills} ${kills === 1 ? 'process' : 'processes'} OOM-killed`
  if (limitHits === 0) return `${killed} by the kernel, though no limit of its own cgroup was hit`
  const limit = limitBytes === null ? 'a memory limit inside of it' : `memory.max (${sizeText(limitBytes)})`
  return `its cgroup hit ${limit}, ${killed}`
}
