import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAuditSpool } from '../../../src/control/audit-spool.ts'
import type { RequestContext } from '../../../src/control/control.ts'
import { createControl, type RunningControl } from '../../../src/control/create-control.ts'
import { resolvePolicy } from '../../../src/domain/policy.ts'
import type { RunState } from '../../../src/domain/run-state.ts'
import type { WorkflowVersion } from '../../../src/domain/workflow.ts'
import { workflowStream } from '../../../src/domain/workflow-events.ts'
import { type ControlWorld, openControlWorld } from '../../support/control-world.ts'
import { event } from '../../support/run-events.ts'
import { type ScriptedHost, scriptedHost } from '../../support/scripted-host.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let world: ControlWorld
let host: ScriptedHost
let directory: ReturnType<typeof makeTemporaryDirectory>
let control: RunningControl
/** What happens right before control reads a stream. */
let beforeReading: (stream: string) => Promise<void>

const context = (id = 'ada'): RequestContext => ({ actor: { kind: 'user', id }, correlationId: 'test' })

function create(): RunningControl {
  let position: number | undefined
  return createControl({
    store: {
      ...world.store,
      async *readStream(stream, options) {
        await beforeReading(stream)
        yield* world.store.readStream(stream, options)
      },
    },
    projector: world.project(),
    pool: world.pool,
    host: host.link,
    checkpoint: {
      read: async () => position,
      async write(next) {
        position = next
      },
    },
    auditSpool: createAuditSpool(`${directory.path}/spool.jsonl`, world.log),
    log: world.log,
    now: () => new Date(),
    storeAway: () => undefined,
    checkIntervalMs: 60_000,
  })
}

beforeEach(async () => {
  world = await openControlWorld()
  host = scriptedHost()
  directory = makeTemporaryDirectory()
  beforeReading = async () => {}
  control = create()
  await control.start()
})
afterEach(async () => {
  await control.close()
  await world.close()
  directory.remove()
})

async function define(input: object, by = 'ada'): Promise<{ workflow: WorkflowVersion; created: boolean }> {
  const answer = await control.defineWorkflow(context(by), input)
  if (answer.type !== 'DefineWorkflowAnswer') throw new Error(`${answer.type}: ${answer.message}`)
  return answer
}
const startRun = (input: object) => control.startRun(context(), input)
async function started(input: object): Promise<RunState> {
  const answer = await startRun(input)
  if (answer.type !== 'StartRunAnswer') throw new Error(`${answer.type}: ${answer.message}`)
  return answer.run
}
const page = { first: 50 }
const namesOf = async () => (await control.workflows(page)).items.map(({ item }) => `${item.name} ${item.version}`)
const auditOf = async () => (await control.audit({}, page)).items.map(({ item }) => item)

/** A run that is over, so that a restart of it is done at once. */
async function ended(input: object): Promise<RunState> {
  const run = await started(input)
  const failure = { reason: 'LAUNCH_FAILED' as const, message: 'It is a test.', rootExit: null, receipt: null }
  await world.append(run.runId, event('RunFailed', failure))
  return run
}
async function restarted(input: object): Promise<RunState> {
  const answer = await control.restartRun(context(), input)
  if (answer.type !== 'RestartRunAnswer') throw new Error(`${answer.type}: ${answer.message}`)
  if (answer.newRun === null) throw new Error(answer.message)
  return answer.newRun
}

describe('defineWorkflow', () => {
  it('[R2] [R20] the first definition is version 1, a change the next, the same again none; all are kept and on record', async () => {
    const first = await define({ name: 'BUILDER', command: ['agent', '1'] })
    expect(first).toMatchObject({ created: true, workflow: { name: 'BUILDER', version: 1, definedBy: { id: 'ada' } } })
    expect(await define({ name: 'BUILDER', command: ['agent', '1'] }, 'grace')).toEqual({ ...first, created: false })
    expect(await define({ name: 'BUILDER', command: ['agent', '2'] }, 'grace')).toMatchObject({
      created: true,
      workflow: { version: 2, definedBy: { id: 'grace' } },
    })
    expect(await define({ name: 'BUILDER', command: ['agent', '1'] })).toMatchObject({ workflow: { version: 3 } })

    expect(await control.workflow('BUILDER')).toMatchObject({ version: 3 })
    expect(await control.workflow('BUILDER', 1)).toEqual(first.workflow)
    expect(await control.workflow('BUILDER', 4)).toBeUndefined()
    expect(await control.workflow('BUILD')).toBeUndefined()
    const versions = await control.workflowVersions('BUILDER', page)
    expect(versions.items.map(({ item }) => item.version)).toEqual([3, 2, 1])

    const recorded = (await auditOf()).map(({ action, target, decision, outcome }) => [
      ...[action, target, decision, outcome],
    ])
    expect(recorded).toHaveLength(4)
    expect(recorded.filter(([, , , outcome]) => outcome === 'ACCEPTED')).toHaveLength(3)
    expect(recorded).toContainEqual(['defineWorkflow', 'BUILDER', 'allowed', 'JOINED'])
  })

  it('the same definition, told in another order and with the standards spelled out, is the same', async () => {
    await define({ name: 'A', command: ['agent'], env: { X: '1', Y: '2' }, labels: { a: 'b', c: 'd' } })
    const again = { labels: { c: 'd', a: 'b' }, env: { Y: '2', X: '1' }, workspace: { kind: 'TEMPORARY' } }
    expect(await define({ ...again, secretEnv: [], policy: {}, command: ['agent'], name: 'A' })).toMatchObject({
      created: false,
    })
  })

  it('[R14] of different ones at once each gets a version of its own; of equal ones one is made, and the rest join it', async () => {
    const different = await Promise.all(
      Array.from({ length: 12 }, (_, index) => define({ name: 'RACE', command: ['agent', String(index)] })),
    )
    expect(different.map(({ workflow }) => workflow.version).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 12 }, (_, index) => index + 1),
    )
    const stream = await world.eventsOf(workflowStream('RACE'))
    expect(stream.map(({ data }) => (data as { version: number }).version)).toEqual(
      Array.from({ length: 12 }, (_, index) => index + 1),
    )
    const equal = await Promise.all(Array.from({ length: 12 }, () => define({ name: 'EQUAL', command: ['agent'] })))
    expect(equal.filter(({ created }) => created)).toHaveLength(1)
    expect(equal.map(({ workflow }) => workflow.version)).toEqual(Array(12).fill(1))
  })

  it('[R21] are listed by name, page by page', async () => {
    for (const name of ['b', 'a:2', 'C', 'a', 'a/1']) await define({ name, command: ['agent'] })
    expect(await namesOf()).toEqual(['C 1', 'a 1', 'a/1 1', 'a:2 1', 'b 1'])
    const walked: string[] = []
    for (let after: string | null = null; ; ) {
      const { items, hasNextPage } = await control.workflows({ first: 2, after })
      walked.push(...items.map(({ item }) => item.name))
      if (!hasNextPage) break
      after = items.at(-1)?.cursor ?? null
    }
    expect(walked).toEqual(['C', 'a', 'a/1', 'a:2', 'b'])
    await define({ name: 'a', command: ['agent', '2'] })
    await define({ name: 'a', command: ['agent', '3'] })
    const newest = await control.workflowVersions('a', { first: 1 })
    expect(newest.hasNextPage).toBe(true)
    const next = await control.workflowVersions('a', { first: 5, after: newest.items[0]?.cursor ?? null })
    expect(next.items.map(({ item }) => item.version)).toEqual([2, 1])
    await expect(control.workflowVersions('b', { first: 1, after: newest.items[0]?.cursor ?? null })).rejects.toThrow(
      'is not a cursor',
    )
  })

  const bad: [string, object, string, RegExp][] = [
    ['a name with a blank', { name: 'MY FLOW' }, 'name', /no workflow name/],
    ['a path for a name', { name: '../../etc' }, 'name', /no workflow name/],
    ['a name that is too long', { name: 'x'.repeat(101) }, 'name', /1–100/],
    ['no name', { name: undefined }, 'name', /./],
    ['an empty command', { command: [] }, 'command', /empty/],
    ['an empty executable', { command: [''] }, 'command', /empty executable/],
    ['no command', { command: undefined }, 'command', /./],
    ['NUL in an argument', { command: ['a', 'b\0'] }, 'command.1', /NUL/],
    ['NUL in the description', { description: 'a\0' }, 'description', /NUL/],
    ['a relative workspace', { workspace: { kind: 'EXISTING', path: 'here' } }, 'workspace.path', /absolute/],
    ['an unknown kind of workspace', { workspace: { kind: 'CLOUD' } }, 'workspace.kind', /./],
    ['a reserved variable', { env: { RUNWARDEN_RUN_ID: 'x' } }, 'env.RUNWARDEN_RUN_ID', /reserved/],
    ['a bad account', { runAs: 'Not An Account' }, 'runAs', /no account name/],
    ['an unknown key of the policy', { policy: { stuckAfter: 5 } }, 'policy', /stuckAfter/],
    ['an unknown preset', { policy: { preset: 'lenient' } }, 'policy.preset', /standard.*strict/],
    ['a negative duration', { policy: { graceMs: -1 } }, 'policy.graceMs', /negative/],
    ['a duration with a fraction', { policy: { stuckAfterMs: 1.5 } }, 'policy.stuckAfterMs', /whole number/],
    ['a duration that is too long', { policy: { totalTimeoutMs: 1e12 } }, 'policy.totalTimeoutMs', /14 days/],
    [
      'a warning that comes after the limit',
      { policy: { initializationWarningMs: 2_400_000 } },
      'policy.initializationWarningMs',
      /40m, after stuckAfterMs \(30m\).*make it 30m at most/,
    ],
    ['an unknown key', { comand: ['x'] }, '', /comand/],
    ['a long label', { labels: { a: 'x'.repeat(501) } }, 'labels.a', /500/],
  ]
  it('[R20] what cannot be understood is refused with the place, recorded, and defines nothing', async () => {
    for (const [what, changes, path, says] of bad) {
      const answer = await control.defineWorkflow(context(), { name: 'BAD', command: ['agent'], ...changes })
      if (answer.type !== 'InvalidInput') throw new Error(`${what}: ${answer.type}`)
      const issue = answer.issues.find((found) => found.path === path)
      expect(issue?.message, `${what}: ${JSON.stringify(answer.issues)}`).toMatch(says)
      expect(answer.message, what).toContain(path)
    }
    expect(await world.eventsOf(workflowStream('BAD'))).toEqual([])
    const recorded = (await world.eventsOf('audit-none')).map(({ data }) => data)
    expect(recorded).toHaveLength(bad.length)
    for (const attempt of recorded) expect(attempt).toMatchObject({ action: 'defineWorkflow', decision: 'denied' })
  })
})

describe('startRun by the name of a workflow', () => {
  it('[R2] is as the current definition says, and records which one that was; its own parameters win', async () => {
    await define({ name: 'BUILDER', command: ['agent', '1'] })
    await define({
      ...{
        name: 'BUILDER',
        command: ['agent', '2'],
        env: { A: '1', B: '1' },
        prompt: 'build',
        labels: { team: 'core' },
      },
      policy: { preset: 'strict' },
    })
    expect(await started({ workflow: 'BUILDER' })).toMatchObject({
      workflow: 'BUILDER',
      workflowVersion: 2,
      launch: { command: ['agent', '2'], env: { A: '1', B: '1' }, prompt: 'build', workspace: { kind: 'TEMPORARY' } },
      labels: { team: 'core' },
      policy: resolvePolicy({ preset: 'strict' }),
    })
    const own = { env: { B: '2' }, prompt: 'test', labels: { pr: '7' }, policy: { graceMs: 5 } }
    expect(await started({ workflow: 'BUILDER', workflowVersion: 2, ...own })).toMatchObject({
      launch: { command: ['agent', '2'], env: { A: '1', B: '2' }, prompt: 'test' },
      labels: { team: 'core', pr: '7' },
      policy: resolvePolicy({ preset: 'strict' }, { graceMs: 5 }),
    })
    expect(await started({ workflow: 'BUILDER', workflowVersion: 1 })).toMatchObject({
      workflowVersion: 1,
      launch: { command: ['agent', '1'] },
    })
  })

  it('with a command it is a run of that command under that name, whatever is defined', async () => {
    await define({ name: 'BUILDER', command: ['agent'], env: { A: '1' } })
    expect(await started({ workflow: 'BUILDER', command: ['other'] })).toMatchObject({
      workflow: 'BUILDER',
      workflowVersion: null,
      launch: { command: ['other'], env: {} },
    })
  })

  it('[R20] a name that is not defined starts nothing, is on record, and says what was perhaps meant', async () => {
    for (const name of ['BUILDER', 'BUILDERS', 'LINA']) await define({ name, command: ['agent'] })
    const answer = await startRun({ workflow: 'BUILDR' })
    expect(answer).toMatchObject({ type: 'UnknownWorkflow', workflow: 'BUILDR', nearest: ['BUILDER', 'BUILDERS'] })
    expect(answer).toMatchObject({ message: expect.stringContaining('Did you mean BUILDER or BUILDERS?') })
    expect(await startRun({ workflow: 'BUILDER', workflowVersion: 2 })).toMatchObject({
      type: 'UnknownWorkflow',
      message: 'BUILDER has no version 2; its only version is 1.',
    })
    expect(host.wanted).toEqual([])
    const outcomes = (await auditOf()).filter(({ action }) => action === 'startRun').map(({ outcome }) => outcome)
    expect(outcomes).toEqual(['UnknownWorkflow', 'UnknownWorkflow'])
  })

  it('what cannot be understood is refused with the place', async () => {
    await define({ name: 'BUILDER', command: ['agent'], labels: labels('a', 30) })
    const warning = 'policy.initializationWarningMs'
    const cases: [object, string, RegExp][] = [
      [{}, 'command', /missing/],
      [{ workflowVersion: 1, command: ['agent'] }, 'workflowVersion', /no workflow/],
      [{ workflow: 'BUILDER', workflowVersion: 1, command: ['agent'] }, 'workflowVersion', /command of its own/],
      [{ workflow: 'BUILDER', workflowVersion: 0 }, 'workflowVersion', /from 1/],
      [{ workflow: 'BUILDER', command: [] }, 'command', /empty/],
      [{ workflow: 'BUILDER', labels: labels('b', 30) }, 'labels', /50/],
      [{ workflow: 'BUILDER', policy: { initializationWarningMs: 1_800_001 } }, warning, /after stuckAfterMs \(30m\)/],
      [{ command: ['agent'], policy: { initializationWarningMs: 9, stuckAfterMs: 8 } }, warning, /stuckAfterMs longer/],
    ]
    for (const [input, path, says] of cases) {
      const answer = await startRun(input)
      if (answer.type !== 'InvalidInput') throw new Error(`${JSON.stringify(input)}: ${answer.type}`)
      expect(answer.issues.find((issue) => issue.path === path)?.message, answer.message).toMatch(says)
    }
    expect(host.wanted).toEqual([])
  })
})

const labels = (prefix: string, count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, 'x']))

describe('[R14] an idempotency key', () => {
  const input = { workflow: 'BUILDER', labels: { pr: '7' }, idempotencyKey: 'k' }

  it('still stands for the first run after the workflow was defined anew', async () => {
    await define({ name: 'BUILDER', command: ['agent', '1'] })
    const first = await started(input)
    // With this definition the request would not even be valid.
    await define({ name: 'BUILDER', command: ['agent', '2'], labels: labels('a', 50) })
    expect(await started(input)).toMatchObject({ runId: first.runId, workflowVersion: 1 })
    expect(await started({ ...input, workflowVersion: 1 })).toMatchObject({ runId: first.runId })
    const others = [{ workflowVersion: 2, labels: {} }, { labels: {} }, { command: ['agent', '1'] }, { prompt: 'x' }]
    for (const other of others) {
      expect(await startRun({ ...input, ...other })).toMatchObject({ type: 'IdempotencyConflict', runId: first.runId })
    }
    await define({ name: 'LINA', command: ['agent', '1'] })
    expect(await startRun({ ...input, workflow: 'LINA' })).toMatchObject({ type: 'IdempotencyConflict' })
  })

  it('stands for the first run also where that, and a new definition, come while the second is being read', async () => {
    await define({ name: 'BUILDER', command: ['agent', '1'] })
    const first = Promise.withResolvers<RunState>()
    beforeReading = async (stream) => {
      if (stream !== workflowStream('BUILDER')) return
      beforeReading = async () => {}
      first.resolve(await started(input))
      await define({ name: 'BUILDER', command: ['agent', '2'] })
    }
    const second = await started(input)
    expect(second).toMatchObject({ runId: (await first.promise).runId, workflowVersion: 1 })
    expect(await world.lifecycle(second.runId)).toHaveLength(1)
    expect((await control.workflow('BUILDER'))?.version).toBe(2)
  })
})

describe('restartRun', () => {
  it('[R2] RECORDED starts the same again, CURRENT what the workflow says now; both are linked', async () => {
    await define({ name: 'BUILDER', command: ['agent', '1'], labels: { v: '1' } })
    const [first, second] = [await ended({ workflow: 'BUILDER' }), await ended({ workflow: 'BUILDER' })]
    await define({
      ...{ name: 'BUILDER', command: ['agent', '2'], labels: { w: '2' }, prompt: 'new' },
      policy: { preset: 'strict' },
    })

    expect(await restarted({ runId: first.runId })).toMatchObject({
      ...{ restartOf: first.runId, workflow: 'BUILDER', workflowVersion: 1 },
      ...{ launch: { command: ['agent', '1'] }, labels: { v: '1' }, policy: { preset: 'standard' } },
    })
    const current = await restarted({ runId: second.runId, definition: 'CURRENT' })
    expect(current).toMatchObject({
      ...{ restartOf: second.runId, workflow: 'BUILDER', workflowVersion: 2 },
      ...{ launch: { command: ['agent', '2'], prompt: 'new' }, policy: { preset: 'strict' } },
    })
    expect(current.labels).toEqual({ w: '2' })
    expect(await control.run(second.runId)).toMatchObject({
      restartedAs: current.runId,
      restart: { definition: 'CURRENT', workflowVersion: 2 },
    })
    const recorded = (await auditOf()).filter(({ action }) => action === 'restartRun').map(({ details }) => details)
    expect(recorded).toEqual([{ definition: 'CURRENT' }, { definition: 'RECORDED' }])
  })

  it('[R2] CURRENT keeps the prompt of a run whose workflow leaves it to each, and an edited one wins', async () => {
    await define({ name: 'BUILDER', command: ['agent'] })
    const one = await ended({ workflow: 'BUILDER', prompt: 'issue 7' })
    await define({ name: 'BUILDER', command: ['agent', '--fast'] })
    const two = await restarted({ runId: one.runId, definition: 'CURRENT' })
    expect(two.launch).toMatchObject({ command: ['agent', '--fast'], prompt: 'issue 7' })
    const three = await ended({ workflow: 'BUILDER', prompt: 'issue 7' })
    expect(await restarted({ runId: three.runId, definition: 'CURRENT', prompt: 'issue 8' })).toMatchObject({
      launch: { prompt: 'issue 8' },
    })
  })

  it('[R2] a run of a bare command can become one of its workflow; without a definition nothing is done', async () => {
    const run = await ended({ workflow: 'LINA', command: ['by', 'hand'] })
    const answer = await control.restartRun(context(), { runId: run.runId, definition: 'CURRENT' })
    expect(answer).toMatchObject({ type: 'UnknownWorkflow', workflow: 'LINA' })
    expect(answer).toMatchObject({ message: expect.stringContaining('there is no definition') })
    expect(await control.run(run.runId)).toMatchObject({ restart: null })
    await define({ name: 'LINA', command: ['as', 'defined'] })
    expect(await restarted({ runId: run.runId, definition: 'CURRENT' })).toMatchObject({
      workflowVersion: 1,
      launch: { command: ['as', 'defined'] },
    })
    expect(await control.restartRun(context(), { runId: run.runId, definition: 'NEWEST' })).toMatchObject({
      type: 'InvalidInput',
      issues: [{ path: 'definition' }],
    })
  })
})

it('[R41] rebuilt, the tables of the workflows have the same rows', async () => {
  for (const name of ['A', 'B']) {
    for (const index of [1, 2, 3]) await define({ name, command: ['agent', String(index)] }, `user-${index}`)
  }
  const rows = async () => ({
    workflows: (await world.pool.query('SELECT * FROM workflows ORDER BY name')).rows,
    versions: (await world.pool.query('SELECT * FROM workflow_versions ORDER BY name, version')).rows,
  })
  const before = await rows()
  expect(before.workflows.map(({ version }) => version)).toEqual([3, 3])
  expect(before.versions).toHaveLength(6)
  expect(await control.rebuildProjections(context(), ['workflows'])).toMatchObject({ projections: [{ events: 6 }] })
  expect(await rows()).toEqual(before)
})
