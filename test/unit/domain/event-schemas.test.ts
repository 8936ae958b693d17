import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { alertEventSchemas, readAlertEvent } from '../../../src/domain/alert-events.ts'
import { auditEventSchemas, readAuditEvent } from '../../../src/domain/audit-events.ts'
import { canaryEventSchemas, readCanaryEvent } from '../../../src/domain/canary-events.ts'
import { eventMetadataSchema, type RecordedEvent } from '../../../src/domain/event.ts'
import { evolve } from '../../../src/domain/evolve.ts'
import { standardPolicy } from '../../../src/domain/policy.ts'
import {
  type RecordedRunEvent,
  readRunEvent,
  runEventSchemas,
  runEventVersion,
} from '../../../src/domain/run-events.ts'
import { summarise } from '../../../src/domain/summary.ts'
import { readWorkflowEvent, workflowEventSchemas } from '../../../src/domain/workflow-events.ts'
import { stateAfter } from '../../support/decider-spec.ts'
import { requested } from '../../support/run-events.ts'

const directory = join(import.meta.dirname, '../../fixtures/events/v1')
const fixture = (type: string): RecordedEvent => JSON.parse(readFileSync(join(directory, `${type}.json`), 'utf8'))
const runTypes = Object.keys(runEventSchemas) as (keyof typeof runEventSchemas)[]
/** The types of other streams, with what reads them. */
const otherTypes = [
  ...Object.keys(auditEventSchemas).map((type) => ({ type, read: readAuditEvent })),
  ...Object.keys(alertEventSchemas).map((type) => ({ type, read: readAlertEvent })),
  ...Object.keys(canaryEventSchemas).map((type) => ({ type, read: readCanaryEvent })),
  ...Object.keys(workflowEventSchemas).map((type) => ({ type, read: readWorkflowEvent })),
]
const allTypes = [...runTypes, ...otherTypes.map(({ type }) => type)]

describe('[R41] events that were recorded by version 1', () => {
  it('are there for every type, and for no other', () => {
    const names = readdirSync(directory).map((file) => file.replace(/\.json$/, ''))
    expect(names.toSorted()).toEqual(allTypes.toSorted())
  })

  it.each(runTypes)('%s is read, and nothing of it is lost', (type) => {
    const event = fixture(type)
    expect(readRunEvent(event)).toEqual(event)
    expect(event).toMatchObject({ type, v: 1 })
    expect(runEventVersion[type]).toBeGreaterThanOrEqual(1)
  })

  it.each(otherTypes)('$type is read, and nothing of it is lost', ({ type, read }) => {
    expect(read(fixture(type))).toEqual(fixture(type))
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

  it.each(allTypes)('%s carries metadata that fits', (type) => {
    const { metadata } = fixture(type)
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

  it('keys of a newer writer are passed over, not stumbled upon', () => {
    const newer = foreign('TurnCompleted', { turn: 3, tool: 'Bash' })
    expect(readRunEvent(newer)?.data).toEqual({ turn: 3 })
  })

  it('[M1] RunKilled without a receipt is no RunKilled', () => {
    expect(() => readRunEvent(foreign('RunKilled', { rootExit: null, receipt: null }))).toThrow(/does not fit/)
  })
})
