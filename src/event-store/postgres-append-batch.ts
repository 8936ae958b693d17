import type { EncodedEvent } from './encode.ts'
import type { AppendResult, ExpectedRevision } from './event-store.ts'
import type { Query, Statement } from './postgres-reader.ts'

export type Append = { stream: string; events: EncodedEvent[]; expected: ExpectedRevision }

export type Decision = { outcome: string; revision: number; position: number }

/** One transaction. @returns what was decided on each append, in order. */
export async function appendBatch(query: Query, batch: readonly Append[]): Promise<Decision[]> {
  const rows = await query(statementFor(batch))
  return rows.map(([outcome, revision, position]) => ({
    outcome: String(outcome),
    revision: Number(revision),
    position: Number(position),
  }))
}

function statementFor(batch: readonly Append[]): Statement {
  const [append, ...others] = batch
  const [event, ...more] = append?.events ?? []
  if (append === undefined || event === undefined || others.length > 0 || more.length > 0) {
    return { name: 'append_batch', text: appendBatchText, values: parametersOf(batch) }
  }
  const { id, type, v, data, metadata } = event
  const values = [append.stream, expectedCode(append.expected), id, type, v, data, metadata]
  return { name: 'append_one', text: appendOneText, values }
}

const decision = 'select outcome, revision, position from event_store'
const appendBatchText = `${decision}.append_batch($1, $2, $3, $4, $5, $6, $7, $8)`
const appendOneText = `${decision}.append_one($1, $2, $3, $4, $5, $6, $7)`

function parametersOf(batch: readonly Append[]): unknown[] {
  const streams = new Map<string, number>()
  const appendStream: number[] = []
  const eventAppend: number[] = []
  const eventOffset: number[] = []
  const ids: string[] = []
  const bodies: string[] = []
  for (const [index, { stream, events }] of batch.entries()) {
    const number = streams.get(stream) ?? streams.size + 1
    streams.set(stream, number)
    appendStream.push(number)
    for (const [offset, event] of events.entries()) {
      eventAppend.push(index + 1)
      eventOffset.push(offset)
      ids.push(event.id)
      bodies.push(bodyOf(event))
    }
  }
  return [
    [...streams.keys()],
    array(appendStream),
    array(batch.map((append) => expectedCode(append.expected))),
    array(batch.map((append) => append.events.length)),
    array(eventAppend),
    array(eventOffset),
    array(ids),
    `[${bodies.join(',')}]`,
  ]
}

const bodyOf = ({ type, v, data, metadata }: EncodedEvent) =>
  `{"type":${JSON.stringify(type)},"v":${v},"data":${data},"metadata":${metadata}}`

/** An array literal of numbers or UUIDs, which need no quotes; `pg` would escape each one. */
const array = (values: readonly (number | string)[]) => `{${values.join(',')}}`

function expectedCode(expected: ExpectedRevision): number {
  if (expected === 'no-stream') return -1
  if (expected === 'any') return -2
  if (expected === 'stream-exists') return -3
  return expected
}

/** @throws Error for an append of which some events are known and some are not. */
export function resultOf(append: Append, decision: Decision | undefined): AppendResult {
  switch (decision?.outcome) {
    case 'appended':
    case 'duplicate': {
      const { revision, position, outcome } = decision
      return { outcome: 'appended', revision, position, duplicate: outcome === 'duplicate' }
    }
    case 'conflict':
      return { outcome: 'wrong-expected-revision', expected: append.expected, actual: decision.revision }
    case 'partly-known':
      throw new Error(
        `of the ${append.events.length} events appended to ${append.stream}, some are in the stream and some are not: ` +
          'an append is repeated as it was, or not at all',
      )
    default:
      throw new Error(`PostgreSQL decided ${decision?.outcome ?? 'nothing'} on an append to ${append.stream}`)
  }
}
