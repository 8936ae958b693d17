import type { RegistrationRefusal } from '../domain/host-link.ts'
import type { ProcessIdentity } from '../domain/process-identity.ts'
import { entryKey, identityOfEntry, isKernelThread, type ProcessTable } from './process-table.ts'
import { descendsFrom, selfAndAncestors } from './surroundings.ts'
import type { Owners } from './tree.ts'

export type Inspection = { ok: true; root: ProcessIdentity } | { ok: false; refusal: RegistrationRefusal }

export type InspectOptions = {
  table: ProcessTable
  owners: Owners
  shims: readonly ProcessIdentity[]
  protectedProcesses: readonly ProcessIdentity[]
}

const refused = (code: RegistrationRefusal['code'], message: string): Inspection => ({
  ok: false,
  refusal: { code, message },
})

/** Who has this pid, and whether it may be registered. */
export function inspectProcess(pid: number, { table, owners, shims, protectedProcesses }: InspectOptions): Inspection {
  if (!Number.isSafeInteger(pid) || pid < 1) return refused('NO_SUCH_PROCESS', `${pid} is no process id.`)
  if (pid === 1) return refused('PROTECTED_PROCESS', 'Process 1 is the init of this machine or container.')
  const entry = table.processes.get(pid)
  if (entry === undefined || !entry.alive) return refused('NO_SUCH_PROCESS', `No process with pid ${pid} is running.`)
  if (isKernelThread(entry))
    return refused('KERNEL_THREAD', `Process ${pid} (${entry.comm}) is a thread of the kernel.`)
  if (selfAndAncestors(table).has(pid)) {
    return refused('PROTECTED_PROCESS', `Process ${pid} is Runwarden itself, or started it.`)
  }
  const others = protectedProcesses.filter((identity) => identity.pid !== process.pid)
  if (descendsFrom(entry, table, others)) {
    return refused('PROTECTED_PROCESS', `Process ${pid} belongs to Runwarden's own database.`)
  }
  if (shims.some((shim) => shim.pid === pid && shim.startTime === entry.startTime)) {
    return refused('PROTECTED_PROCESS', `Process ${pid} is the launcher of a run; it writes down how the run ends.`)
  }
  const owner = owners.get(entryKey(entry))
  if (owner !== undefined) return refused('MEMBER_OF_ANOTHER_RUN', `Process ${pid} belongs to ${owner}.`)
  return { ok: true, root: identityOfEntry(entry) }
}
