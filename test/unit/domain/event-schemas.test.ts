import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readAuditEvent } from '../../../src/domain/audit-events.ts'
import { eventMetadataSchema, type RecordedEvent } from '../../../src/domain/event.ts'
import { eventFamilies } from '../../../src/domain/event-families.ts'
import { evolve } from '../../../src/domain/evolve.ts'
import { foldRun } from '../../../src/domain/fold-run.ts'
import { standardPolicy } from '../../../src/domain/policy.ts'
import { readEvent, versionIn } from '../../../src/domain/read-event.ts'
import { type RecordedRunEvent, readRunEvent, runEventSchemas } from '../../../src/domain/run-events.ts'
import { summarise } from '../../../src/domain/summary.ts'
import { stateAfter } from '../../support/decider-spec.ts'
import { requested } from '../../support/run-events.ts'

const directory = join(import.meta.dirname, '../../fixtures/events')
const fixture = (type: string, v = 1): RecordedEvent =>
  JSON.parse(readFileSync(join(directory, `v${v}`, `${type}.json`), 'utf8'))
const runTypes = Object.keys(runEventSchemas) as (keyof typeof runEventSchemas)[]
/** Every version of every type, with the family that reads it. */
const versions = Object.values(eventFamilies).flatMap((family) =>
  Object.keys(family.schemas).flatMap((type) =>
    Array.from({ length: versionIn(family, type) }, (_, index) => ({ type, v: index + 1, family })),
  ),
)
const current = versions.filter(({ type, v, family }) => v === versionIn(family, type))
const older = versions.filter((version) => !current.includes(version))

describe('[R41] events as they were recorded', () => {
  it('are there for every version of every type, and for no other', () => {
    const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'))
    expect(files.toSorted()).toEqual(versions.map(({ type, v }) => join(`v${v}`, `${type}.json`)).toSorted())
  })

  it.each(current)('$type v$v is read, and nothing of it is lost', ({ type, v, family }) => {
    const event = fixture(type, v)
    expect(event).toMatchObject({ type, v })
    expect(readEvent(family, event)).toEqual(event)
  })

  it.each(older)('$type v$v is read in the shape of today', ({ type, v, family }) => {
    const event = fixture(type, v)
    expect(event).toMatchObject({ type, v })
    const { data: _, ...envelope } = event
    expect(readEvent(family, event)).toMatchObject({ ...envelope, v: versionIn(family, type) })
  })

  it('belong to one family each', () => {
    const types = Object.values(eventFamilies).flatMap(({ schemas }) => Object.keys(schemas))
    expect(types.length).toBe(new Set(types).size)
  })

  it('[R16] a policy from before the timeouts has those of the standard policy', () => {
    const { preset, onStuck, onTotalTimeout, initializationWarningMs, totalTimeoutMs, ...before } = standardPolicy
    const event = fixture('RunRequested')
    const older = { ...event, data: { ...(event.data as object), policy: before } }
    expect(readRunEvent(older)?.data).toMatchObject({ policy: standardPolicy })
  })

  it('[R7] a policy from before the critical sections has the limits of the standard policy', () => {
    const { deferLimitMs, gitOperationsLimitMs, apiCallsLimitMs, fileOperationsLimitMs, ...before } = standardPolicy
    const { databaseTransactionsLimitMs, ...older } = before
    const event = fixture('RunRequested')
    expect(readRunEvent({ ...event, data: { ...(event.data as object), policy: older } })?.data).toMatchObject({
      policy: standardPolicy,
    })
  })

  it.each(versions)('$type v$v carries metadata that fits', ({ type, v }) => {
    const { metadata } = fixture(type, v)
    expect(eventMetadataSchema.parse(metadata)).toEqual(metadata)
  })

  it.each(runTypes)('[R24] %s reads as a sentence: no name of a type, no JSON, nothing undefined', (type) => {
    const summary = summarise(fixture(type))
    expect(summary).toMatch(/ /)
    expect(summary).not.toMatch(/[a-z]{2}[A-Z]|[{}[\]]|undefined|null|NaN/)
  })

  it.each(runTypes)('%s folds into a run that has only been requested, and into none', (type) => {
    const event = readRunEvent(fixture(type)) as RecordedRunEvent
    const state = evolve(stateAfter([requested()]), event)
    expect(JSON.parse(JSON.stringify(state))).toEqual(state)
    expect(evolve(undefined, event)?.status).toBe(type === 'RunRequested' ? 'REQUESTED' : undefined)
  })
})

describe('events of others', () => {
  const foreign = (type: string, data: unknown): RecordedEvent => ({ ...fixture('RunStarted'), type, data })

  it('a type that is not known is passed over', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), (type, data) => {
        fc.pre(!runTypes.includes(type as never))
        expect(readRunEvent(foreign(type, data))).toBeUndefined()
      }),
    )
  })

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'ActionAttempted', ''])(
    'not even %j is mistaken for one',
    (type) => {
      expect(readRunEvent(foreign(type, {}))).toBeUndefined()
    },
  )

  it('what does not fit a known type is an error that says where it stands, and why', () => {
    const notFitting = fc.tuple(
      fc.constantFrom(...runTypes.filter((type) => !['HeartbeatRecorded', 'TelemetrySummarised'].includes(type))),
      fc.oneof(fc.constant(null), fc.string(), fc.integer(), fc.array(fc.jsonValue())),
    )
    fc.assert(
      fc.property(notFitting, ([type, data]) => {
        expect(() => readRunEvent(foreign(type, data))).toThrow(
          expect.objectContaining({
            message: `event 2 of run-0123456789ab: ${type} v1 does not fit its schema`,
            cause: expect.objectContaining({ issues: expect.any(Array) }),
          }),
        )
      }),
    )
  })

  it.each(versions)('a version of $type that only a newer Runwarden writes is passed over', ({ type, family }) => {
    const newer = { ...fixture(type), v: versionIn(family, type) + 1, data: { unheard: 'of' } }
    expect(readEvent(family, newer)).toBeUndefined()
    expect(foldRun(undefined, newer)).toBeUndefined()
    expect(foldRun(stateAfter([requested()]), newer)?.status).toBe('REQUESTED')
    expect(summarise(newer)).toBe(`${type} v${newer.v}, which this Runwarden does not know`)
  })

  it('a stream goes on after an event that is passed over', () => {
    const state = stateAfter([requested()])
    const newer = { ...foreign('RunTeleported', {}), revision: 7 }
    expect(foldRun(state, newer)).toEqual({ ...state, revision: 7 })
  })

  it('an action that only a newer Runwarden knows is read by its name', () => {
    const attempted = fixture('ActionAttempted', 2)
    const newer = { ...attempted, data: { ...(attempted.data as object), action: 'teleportRun' } }
    expect(readAuditEvent(newer)?.data).toMatchObject({ action: 'teleportRun' })
  })

  it('keys of a newer writer are passed over, not stumbled upon', () => {
    const newer = foreign('TurnCompleted', { turn: 3, tool: 'Bash' })
    expect(readRunEvent(newer)?.data).toEqual({ turn: 3 })
  })

  it('[M1] RunKilled without a receipt is no RunKilled', () => {
    expect(() => readRunEvent(foreign('RunKilled', { rootExit: null, receipt: null }))).toThrow(/does not fit/)
  })
})
