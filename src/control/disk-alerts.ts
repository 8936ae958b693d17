import { randomUUID } from 'node:crypto'
import { type AlertEventBody, type RecordedAlertEvent, severityOf } from '../domain/alert-events.ts'
import type { Actor } from '../domain/event.ts'
import type { HostLink } from '../domain/host-link.ts'
import {
  type DiskSpace,
  diskText,
  judgeDisk,
  type LowDiskThreshold,
  lowDiskWayOut,
  thresholdText,
} from '../domain/low-disk.ts'
import type { EventStore } from '../event-store/event-store.ts'
import { appendToAlert, lastAlertEvent } from './alert-stream.ts'
import type { ReadinessCheck } from './control.ts'
import { delayOrAbort } from './delay.ts'
import type { Log } from './log.ts'

export type DiskAlertsDeps = {
  store: EventStore
  host: HostLink
  log: Log
  now: () => Date
  threshold: LowDiskThreshold
  /** Milliseconds from one check to the next. */
  intervalMs: number
}

/** One alert for each file system of the host that has little room left, from then until it has enough again. */
export type DiskAlerts = {
  /** Checks until the signal aborts. @throws StoreUnavailable */
  run(signal: AbortSignal): Promise<void>
  /** For /readyz; needs no store. */
  check(): Promise<ReadinessCheck>
}

const actor: Actor = { kind: 'monitor', id: 'disk' }

export function createDiskAlerts({ store, host, log, now, threshold, intervalMs }: DiskAlertsDeps): DiskAlerts {
  /** What was last said of a place; null: nothing ever. */
  const said = new Map<string, RecordedAlertEvent | null>()
  /** Told in the log, where that is not on the same disk: the alert may not get through. */
  const logged = new Set<string>()
  const streamOf = (place: string) => `alert-disk-${host.hostId.slice('host_'.length)}-${place}`
  const isOpen = (place: string) => said.get(place)?.type === 'AlertRaised'
  const isLow = (disk: DiskSpace) => judgeDisk(disk, threshold, isOpen(disk.place)) === 'LOW'

  async function run(signal: AbortSignal): Promise<void> {
    // Somebody else may have said something since.
    said.clear()
    while (!signal.aborted) {
      for (const disk of (await host.report()).disks) await settle(disk)
      await delayOrAbort(intervalMs, signal)
    }
  }

  async function settle(disk: DiskSpace): Promise<void> {
    tell(disk)
    for (const place of disk.places) await learn(place)
    const verdict = judgeDisk(disk, threshold, isOpen(disk.place))
    if (verdict === 'LOW' && !isOpen(disk.place)) await say(disk.place, raised(disk))
    if (verdict === 'ENOUGH' && isOpen(disk.place))
      await say(disk.place, resolved(`There is room again: ${diskText(disk)}.`))
    // A file system has one alert. These had one of their own once.
    for (const place of disk.places.slice(1).filter(isOpen)) {
      await say(place, resolved(`It is on the same file system as ${disk.path} now.`))
    }
  }

  async function learn(place: string): Promise<void> {
    if (!said.has(place)) said.set(place, (await lastAlertEvent(store, streamOf(place))) ?? null)
  }

  async function say(place: string, body: AlertEventBody): Promise<void> {
    const metadata = { actor, correlationId: randomUUID(), occurredAt: now().toISOString() }
    await appendToAlert(store, streamOf(place), body, metadata, said.get(place) ?? undefined)
    said.delete(place)
    await learn(place)
  }

  function tell(disk: DiskSpace): void {
    const low = isLow(disk)
    if (low === logged.has(disk.place)) return
    if (low) logged.add(disk.place)
    else logged.delete(disk.place)
    const { place, freeBytes, totalBytes } = disk
    if (low) log.warn({ place, freeBytes, totalBytes }, `little room is left: ${diskText(disk)}`)
    else log.info({ place, freeBytes, totalBytes }, `there is room again: ${diskText(disk)}`)
  }

  const raised = (disk: DiskSpace): AlertEventBody => ({
    type: 'AlertRaised',
    data: {
      ...{ kind: 'LOW_DISK', severity: severityOf.LOW_DISK, runId: null, workflow: null },
      message: `Only ${diskText(disk)}; the limit is ${thresholdText(threshold)}. ${lowDiskWayOut}`.slice(0, 1000),
      evidence: evidenceOf(disk),
    },
  })

  const evidenceOf = ({ path, places, freeBytes, totalBytes, seenAt }: DiskSpace) => {
    const facts = { host: host.hostId, path, holds: places.join(', '), freeBytes, totalBytes, seenAt }
    return Object.entries(facts).map(([fact, value]) => ({ fact, value: String(value).slice(0, 1000) }))
  }

  return {
    run,
    async check() {
      const { disks } = await host.report()
      const low = disks.filter(isLow)
      const details = disks.map((disk) => `${isLow(disk) ? 'LOW: ' : ''}${diskText(disk)}`)
      return {
        ...{ name: 'disk', ok: low.length === 0, advisory: true },
        detail: `${details.join('; ') || 'not watched'}${low.length === 0 ? '' : '; its alert says what to do'}`,
      }
    },
  }
}

const resolved = (why: string): AlertEventBody => ({ type: 'AlertResolved', data: { why: why.slice(0, 1000) } })
