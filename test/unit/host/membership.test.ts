import { describe, expect, it } from 'vitest'
import { type Member, membersOf, type TreeClues } from '../../../src/host/membership.ts'
import { entryKey, type ProcessEntry, tableOf } from '../../../src/host/process-table.ts'
import { machineIdentity } from '../../../src/os/process-identity.ts'

const runId = 'run_00000000000a'
const process = (pid: number, ppid: number, more: Partial<ProcessEntry> = {}): ProcessEntry => ({
  ...{ pid, ppid, comm: 'x', state: 'S', pgrp: 900, session: 900, tty: 0, flags: 0, utimeTicks: 0, stimeTicks: 0 },
  ...{ startTime: '1000', alive: true, marker: null, ...more },
})
const identity = (pid: number, startTime = '1000') => ({ pid, startTime, ...machineIdentity() })
const root = process(11, 10, { pgrp: 10, session: 10 })
const shim = process(10, 500, { pgrp: 10, session: 10 })
const clues: TreeClues = {
  ...{ runId, root: identity(11), shim: identity(10), marked: true, seen: new Set<string>(), inCgroup: new Set() },
}
const surroundings = { untouchable: ({ pid }: ProcessEntry) => pid === 500, reapers: new Set([1]) }

const found = (entries: ProcessEntry[], more: Partial<TreeClues> = {}): Record<number, string[]> => {
  const members = membersOf(tableOf(entries, { conclusive: true, serial: 1 }), { ...clues, ...more }, surroundings)
  const by = ({ foundBy }: Member) => [...foundBy].sort()
  return Object.fromEntries([...members].map(([pid, member]) => [pid, by(member)]))
}

describe('members of a tree', () => {
  it('[R6] a shim and its root that began within one tick are two processes', () => {
    expect(found([shim, root])).toEqual({ 11: ['group', 'root', 'session'] })
  })

  it('[R6] descendants of descendants, in whatever session', () => {
    const child = process(12, 11, { session: 12, pgrp: 12 })
    const orphan = process(13, 1, { session: 12, pgrp: 13 })
    expect(Object.keys(found([shim, root, child, process(14, 12), orphan]))).toEqual(['11', '12', '13', '14'])
  })

  it('[R6] a recycled session id makes nobody a member: its leader is not the one that was', () => {
    const stranger = process(12, 1, { session: 12, pgrp: 12, startTime: '2000' })
    const strangersChild = process(13, 12, { session: 12, pgrp: 12, startTime: '2001' })
    expect(found([shim, root, stranger, strangersChild], { seen: new Set(['12:1000']) })).toEqual({
      11: ['group', 'root', 'session'],
    })
    // Nor the shim's own, once another process has its pid.
    const other = process(10, 1, { session: 10, pgrp: 10, startTime: '2000' })
    expect(found([other, process(15, 10, { session: 10, pgrp: 10 })])).toEqual({})
  })

  it('[R6] a root whose pid is somebody else’s now is nobody', () => {
    expect(found([process(11, 1, { startTime: '2000' })], { shim: null })).toEqual({})
  })

  it('[R6] who was seen before is found again, and its children with it', () => {
    const escaped = process(20, 1, { session: 20, pgrp: 20 })
    expect(found([escaped, process(21, 20)], { seen: new Set([entryKey(escaped)]) })).toEqual({
      20: ['seen'],
      21: ['descent'],
    })
  })

  it('[R6] a marker counts when its bearer was handed to a reaper, has no terminal and began after the root', () => {
    const marked = (pid: number, ppid: number, more: Partial<ProcessEntry> = {}) =>
      process(pid, ppid, { marker: runId, session: pid, pgrp: pid, ...more })
    const entries = [
      ...[shim, root, process(500, 1)],
      marked(30, 1),
      marked(31, 1, { tty: 34816 }),
      marked(32, 500),
      marked(33, 1, { startTime: '999' }),
      marked(34, 1, { marker: 'run_00000000000b' }),
    ]
    expect(Object.keys(found(entries))).toEqual(['11', '30'])
    expect(Object.keys(found([...entries, process(1, 0, { marker: runId })]))).toEqual(['11'])
    expect(Object.keys(found(entries, { marked: false }))).toEqual(['11'])
  })

  it('[R6] the untouchable are neither members nor a way to one', () => {
    expect(found([process(500, 11), process(501, 500)], { inCgroup: new Set([500]) })).toEqual({})
    expect(found([process(1, 0), process(40, 1)], { inCgroup: new Set([1]) })).toEqual({})
  })
})
