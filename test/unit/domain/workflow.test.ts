import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nearestNames } from '../../../src/domain/nearest.ts'
import {
  impossibleIn,
  type PolicyInput,
  policyPresets,
  presets,
  resolvePolicy,
  timeoutActions,
} from '../../../src/domain/policy.ts'
import { parametersOf } from '../../../src/domain/workflow.ts'
import { type WorkflowDefinition, workflowDefinitionSchema } from '../../../src/domain/workflow-events.ts'

const definition = (changes: object = {}, launch: object = {}): WorkflowDefinition =>
  workflowDefinitionSchema.parse({ launch: { command: ['agent'], ...launch }, ...changes })
const nothing = { policy: {}, labels: {} }

describe('a run that is started by the name of its workflow', () => {
  it('[R2] is as the definition says, where its request says nothing', () => {
    const defined = definition(
      { policy: { preset: 'strict' }, labels: { team: 'core' } },
      {
        env: { A: '1' },
        secretEnv: ['KEY'],
        runAs: 'agent',
        prompt: 'go',
        workspace: { kind: 'EXISTING', path: '/x' },
      },
    )
    expect(parametersOf(defined, nothing)).toEqual({
      launch: defined.launch,
      policy: resolvePolicy({ preset: 'strict' }),
      labels: { team: 'core' },
    })
  })

  it('what the request says wins; variables and labels are put together by name', () => {
    const defined = definition(
      { labels: { team: 'core', stage: 'test' } },
      { env: { A: '1', B: '2' }, secretEnv: ['KEY'], runAs: 'agent', prompt: 'go' },
    )
    const own = {
      env: { B: '3', C: '4' },
      secretEnv: ['OTHER'],
      runAs: 'root',
      prompt: '',
      workspace: { kind: 'EXISTING' as const, path: '/y' },
      labels: { stage: 'live' },
      policy: { graceMs: 7 },
    }
    expect(parametersOf(defined, own)).toEqual({
      launch: {
        driver: 'command',
        command: ['agent'],
        workspace: own.workspace,
        env: { A: '1', B: '3', C: '4' },
        secretEnv: ['OTHER'],
        runAs: 'root',
        prompt: '',
      },
      policy: resolvePolicy({ graceMs: 7 }),
      labels: { team: 'core', stage: 'live' },
    })
  })

  it('a variable that the request gives a value is no secret of the host any more', () => {
    const { launch } = parametersOf(definition({}, { secretEnv: ['KEY', 'TOKEN'] }), {
      ...nothing,
      env: { KEY: 'for this run' },
    })
    expect(launch).toMatchObject({ env: { KEY: 'for this run' }, secretEnv: ['TOKEN'] })
  })
})

const layer: fc.Arbitrary<PolicyInput> = fc.record(
  {
    preset: fc.constantFrom(...policyPresets),
    graceMs: fc.integer({ min: 0, max: 3_600_000 }),
    stuckAfterMs: fc.integer({ min: 1, max: 1e9 }),
    onStuck: fc.constantFrom(...timeoutActions),
    totalTimeoutMs: fc.integer({ min: 1, max: 1e9 }),
  },
  { requiredKeys: [] },
)

describe('[R16] the layers of a policy', () => {
  it('each threshold is what the last layer that names it says, else that of the last preset, whichever is later', () => {
    fc.assert(
      fc.property(fc.array(layer, { maxLength: 4 }), (layers) => {
        const policy = resolvePolicy(...layers)
        const last = layers.findLastIndex(({ preset }) => preset !== undefined)
        const preset = layers[last]?.preset ?? 'standard'
        expect(policy.preset).toBe(preset)
        for (const key of ['graceMs', 'stuckAfterMs', 'onStuck', 'totalTimeoutMs', 'onTotalTimeout'] as const) {
          const said = layers.slice(Math.max(last, 0)).findLast((one) => one[key] !== undefined)
          expect(policy[key]).toBe(said?.[key] ?? presets[preset][key])
        }
      }),
    )
  })

  it('a warning of which nobody said when comes before the stuck limit; one that was asked for is never moved', () => {
    expect(resolvePolicy({ stuckAfterMs: 120_000 })).toMatchObject({ initializationWarningMs: 60_000 })
    expect(resolvePolicy({ stuckAfterMs: 300_000 })).toMatchObject({ initializationWarningMs: 300_000 })
    expect(resolvePolicy({ stuckAfterMs: 1 })).toMatchObject({ initializationWarningMs: 1 })
    const asked = [{ initializationWarningMs: 240_000 }, { stuckAfterMs: 120_000 }]
    expect(resolvePolicy(...asked)).toMatchObject({ initializationWarningMs: 240_000 })
    expect(impossibleIn(...asked)).toMatchObject({
      threshold: 'initializationWarningMs',
      message: expect.stringContaining('is 4m, after stuckAfterMs (2m)'),
    })
    expect(impossibleIn(...asked, { initializationWarningMs: 120_000 })).toBeUndefined()
    expect(impossibleIn(...asked, { preset: 'strict' })).toBeUndefined()
  })

  it('only a warning that somebody asked for can be impossible', () => {
    fc.assert(fc.property(fc.array(layer, { maxLength: 4 }), (layers) => impossibleIn(...layers) === undefined))
  })

  it('a run adds to its workflow, and an empty layer changes nothing', () => {
    fc.assert(
      fc.property(layer, layer, (workflow, run) => {
        const defined = definition({ policy: workflow })
        expect(parametersOf(defined, { policy: run, labels: {} }).policy).toEqual(resolvePolicy(workflow, run))
        expect(parametersOf(defined, nothing).policy).toEqual(resolvePolicy(workflow))
      }),
    )
  })
})

describe('what was probably meant', () => {
  it.each([
    ['BUILDR', ['BRAIN', 'BUILDER', 'LINA'], ['BUILDER']],
    ['builder', ['BUILDER'], ['BUILDER']],
    ['LIAN', ['LINA', 'BRAIN'], []],
    ['TESTT', ['TEST', 'TESTS', 'TEST2', 'TE'], ['TEST', 'TEST2', 'TESTS']],
    ['X', [], []],
    ['guardain', ['guardian', 'architect'], ['guardian']],
  ])('%s of %j: %j', (written, names, nearest) => {
    expect(nearestNames(written, names)).toEqual(nearest)
  })

  it('is among the names, the name itself first, and no more than asked for', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.uniqueArray(fc.string()), (written, names) => {
        const nearest = nearestNames(written, [...names, written], 2)
        expect(nearest.length).toBeLessThanOrEqual(2)
        expect([...names, written]).toEqual(expect.arrayContaining(nearest))
        expect(nearest[0]?.toLowerCase()).toBe(written.toLowerCase())
      }),
    )
  })
})
