import { sizeText } from './size.ts'

/** What a host last saw of a file system that it writes to. */
export type DiskSpace = {
  /** The first of the host's places on it: its name in alerts. */
  place: string
  /** Where that place is. */
  path: string
  /** All of the host's places on it. */
  places: string[]
  /** What an ordinary account may still write, in bytes; null: it has not been seen, or does not answer. */
  freeBytes: number | null
  totalBytes: number | null
  /** When it was seen last. */
  seenAt: string | null
  /** Why it cannot be seen now. */
  failure: string | null
}

/** Space is low below either of them. 0: that one is not looked at. */
export type LowDiskThreshold = { bytes: number; percent: number }

/**
 * Space that is low stays so until there is a quarter more than the threshold: at the edge an alert would otherwise come
 * and go with every file.
 */
const calmFactor = 1.25

export type DiskVerdict = 'LOW' | 'ENOUGH' | 'UNKNOWN'

/** @param wasLow what it was before */
export function judgeDisk(disk: DiskSpace, { bytes, percent }: LowDiskThreshold, wasLow: boolean): DiskVerdict {
  if (disk.freeBytes === null || disk.totalBytes === null) return 'UNKNOWN'
  const factor = wasLow ? calmFactor : 1
  const share = freePercent(disk.freeBytes, disk.totalBytes)
  return disk.freeBytes < bytes * factor || share < percent * factor ? 'LOW' : 'ENOUGH'
}

/** Some file systems have no size: of those nothing is ever full. */
const freePercent = (free: number, total: number): number => (total === 0 ? 100 : (free / total) * 100)

/** Such as `412.0 MiB (2.1 %) of 19.5 GiB free for /var/lib/runwarden`. */
export function diskText({ path, freeBytes, totalBytes, failure }: DiskSpace): string {
  if (freeBytes === null || totalBytes === null) return `${path}: ${failure ?? 'not looked at yet'}`
  const share = freePercent(freeBytes, totalBytes).toFixed(1)
  return `${sizeText(freeBytes)} (${share} %) of ${sizeText(totalBytes)} free for ${path}`
}

/** Such as `1.0 GiB or 5 %`; undefined: nothing is ever low. */
export function thresholdText({ bytes, percent }: LowDiskThreshold): string | undefined {
  const parts = [bytes > 0 && sizeText(bytes), percent > 0 && `${percent} %`].filter((part) => part !== false)
  return parts.length === 0 ? undefined : parts.join(' or ')
}

/** What a person can do. */
export const lowDiskWayOut =
  'Free some space there, or give it more. Salvage bundles of runs that have ended go sooner with a lower ' +
  'RUNWARDEN_KEEP_DAYS or RUNWARDEN_KEEP_MAX_BYTES. Once it is full nothing can be recorded: runs cannot be started, ' +
  'kills that were accepted go on, and new ones must be emergency kills.'
