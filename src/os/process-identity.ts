import { readlinkSync } from 'node:fs'
import { type ProcessIdentity, sameProcess } from '../domain/process-identity.ts'
import { readKernelFile } from './read-kernel-file.ts'

/** The fields of `/proc/<pid>/stat` that say who a process is and where it stands. */
export type ProcessStat = {
  pid: number
  /** Name in parentheses; may itself hold spaces and parentheses. */
  comm: string
  state: string
  ppid: number
  /** Process group and session, by the pid of their leader. */
  pgrp: number
  session: number
  /** Device number of the controlling terminal; 0: none. */
  tty: number
  flags: number
  utimeTicks: number
  stimeTicks: number
  startTime: string
}

/** Parses `/proc/<pid>/stat`; the name ends at the last `)`, because a process may put one into its own name. */
export function parseStat(text: string): ProcessStat {
  const open = text.indexOf('(')
  const close = text.lastIndexOf(')')
  const rest = text.slice(close + 2).split(' ')
  const number = (field: number) => Number(rest[field - 3])
  return {
    pid: Number(text.slice(0, open - 1)),
    comm: text.slice(open + 1, close),
    state: rest[0] ?? '',
    ppid: number(4),
    pgrp: number(5),
    session: number(6),
    tty: number(7),
    flags: number(9),
    utimeTicks: number(14),
    stimeTicks: number(15),
    startTime: rest[22 - 3] ?? '',
  }
}

/** undefined when there is no such process (any more). */
export function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readKernelFile(`/proc/${pid}/stat`))
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** ENOENT: no such directory; ESRCH: the process went between open and read. */
export function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOENT' || code === 'ESRCH'
}

let machine: Pick<ProcessIdentity, 'bootId' | 'pidNamespace'> | undefined

/** What all identities seen by this process have in common; it cannot change while this process lives. */
export function machineIdentity(): Pick<ProcessIdentity, 'bootId' | 'pidNamespace'> {
  machine ??= {
    bootId: readKernelFile('/proc/sys/kernel/random/boot_id').trim(),
    pidNamespace: /\[(\d+)\]/.exec(readlinkSync('/proc/self/ns/pid'))?.[1] ?? '0',
  }
  return machine
}

export const identityOf = (stat: Pick<ProcessStat, 'pid' | 'startTime'>): ProcessIdentity => ({
  pid: stat.pid,
  startTime: stat.startTime,
  ...machineIdentity(),
})

/** Who has this pid now; undefined when nobody has. */
export function readIdentity(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid)
  return stat === undefined ? undefined : identityOf(stat)
}

/** The very same process is still there (a zombie is). */
export function exists(identity: ProcessIdentity): boolean {
  const now = readIdentity(identity.pid)
  return now !== undefined && sameProcess(now, identity)
}

/** The very same process is still there and has not ended: a zombie is only waiting to be collected. */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid)
  return stat !== undefined && sameProcess(identityOf(stat), identity) && stat.state !== 'Z' && stat.state !== 'X'
}
