import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Bell } from '../../../src/host/bell.ts'
import { FactLog } from '../../../src/host/fact-log.ts'
import { killTree, type LadderRun } from '../../../src/host/kill-ladder.ts'
import { LadderLog } from '../../../src/host/ladder-log.ts'
import { tableOf } from '../../../src/host/process-table.ts'
import type { Tree } from '../../../src/host/tree.ts'
import { readIdentity } from '../../../src/os/process-identity.ts'
import { recordingLog } from '../../support/control-world.ts'
import { hostId, runId } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

let temporary: ReturnType<typeof makeTemporaryDirectory>
let facts: FactLog
let ladder: LadderLog
let child: ChildProcess
const clock = () => new Date()

beforeEach(async () => {
  temporary = makeTemporaryDirectory()
  const path = (name: string) => `${temporary.path}/${name}`
  facts = await FactLog.open({
    ...{ hostId, runId, path: path('facts'), acknowledgedPath: path('acknowledged'), factSequence: 0, clock },
    ...{ crashPoint() {}, onFact() {} },
  })
  ladder = await LadderLog.open(path('ladder'), () => {})
  child = spawn('sleep', ['1000'], { stdio: 'ignore' })
})
afterEach(async () => {
  child.kill('SIGKILL')
  await facts.close()
  await ladder.close()
  temporary.remove()
})

it.each(['graceful', 'force'] as const)(
  '[R6] [M1] a tree that cannot be looked at: whom we know is signalled (%s), the deadline says not proven, proof comes later',
  async (kind) => {
    await ladder.want({ kind, requestedAt: clock().toISOString(), graceMs: 50, proofDeadlineMs: 50 })
    const ended = once(child, 'exit')
    let canLook = false
    const { log, lines } = recordingLog()
    const run: LadderRun = {
      ...{ runId, ladder, facts, clock, log, bell: new Bell(), signal: new AbortController().signal },
      ...{ cgroup: null, level: 'process-scan', visible: true, leftovers: { graceMs: 50, proofDeadlineMs: 50 } },
      root: readIdentity(child.pid ?? 0) ?? null,
      tree: { observe: () => new Map() } as unknown as Tree,
      readTable: async () => {
        if (!canLook) throw new Error('EMFILE: too many open files')
        return tableOf([], { conclusive: true, serial: 1 })
      },
      openSections: () => Promise.reject(new Error('EMFILE: too many open files')),
      rootExit: () => undefined,
      exitMayCome: () => false,
      wakeShim() {},
      letGoOn: async () => {},
      summary: async () => ({ type: 'TelemetrySummarised', data: {} }),
    }
    const killed = killTree(run)
    expect((await ended)[1]).toBe(kind === 'graceful' ? 'SIGTERM' : 'SIGKILL')
    await waitUntil(() => facts.has('TreeNotProven'), 'the deadline')
    const doubt = facts.latest('TreeNotProven')?.receipt
    expect(doubt?.checks).toContainEqual({
      ...{ name: 'scan-conclusive', passed: false },
      detail: 'the tree could not be looked at: EMFILE: too many open files',
    })
    expect(facts.has('TreeGone')).toBe(false)
    expect(lines.filter((line) => line.includes('cannot be looked at'))).toHaveLength(1)
    canLook = true
    await killed
    expect(facts.latest('TreeGone')?.receipt.proven).toBe(true)
  },
)
