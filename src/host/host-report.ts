import { hostname } from 'node:os'
import type { HostReport } from '../domain/host-link.ts'
import type { HostId } from '../domain/ids.ts'
import type { DiskSpace } from '../domain/low-disk.ts'
import { machineIdentity } from '../os/process-identity.ts'
import type { CgroupBase } from './cgroup.ts'
import { type LimitingHost, limitAbilities } from './limit-plan.ts'
import type { Slots } from './slots.ts'

type Reported = {
  hostId: HostId
  cgroups: CgroupBase
  limiting: LimitingHost
  slots: Slots
  /** One line for each run whose journal cannot be written. */
  failures: string[]
  disks: DiskSpace[]
}

/** What this host can do and how it fares. */
export function reportOf({ hostId, cgroups, limiting, slots, failures, disks }: Reported): HostReport {
  const isRoot = process.getuid?.() === 0
  return {
    hostId,
    hostname: hostname(),
    platform: `${process.platform} ${process.arch}`,
    bootId: machineIdentity().bootId,
    level: cgroups.ok ? 'cgroup-v2' : 'process-scan',
    levelDetail: cgroups.ok ? `each run has a cgroup below ${cgroups.base}` : cgroups.why,
    checks: [
      {
        name: 'journals',
        ok: failures.length === 0,
        detail: failures.length === 0 ? 'all facts are on the disk' : failures.slice(0, 5).join('; '),
      },
      {
        name: 'other-accounts',
        ok: isRoot,
        detail: isRoot
          ? 'runs may have another account (runAs), and all environments can be read'
          : 'not root: runAs is refused, and the marker of processes of other accounts cannot be read',
      },
      limitsCheck(limiting),
    ],
    slots: { capacity: slots.capacity, used: slots.used, waiting: slots.waiting },
    disks,
  }
}

/** Which limits of runs this host can enforce, and how. */
export function limitsCheck(limiting: LimitingHost): HostReport['checks'][number] {
  const abilities = Object.entries(limitAbilities(limiting))
  return {
    name: 'limits',
    ok: abilities.every(([, { enforcedBy }]) => enforcedBy !== 'none'),
    detail: abilities
      .map(([limit, { enforcedBy, detail }]) => `${limit}: ${enforcedBy === 'none' ? 'not: ' : ''}${detail}`)
      .join('; '),
  }
}
