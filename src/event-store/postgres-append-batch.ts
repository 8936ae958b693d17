import type { PreparedStatement, TextRows } from '../postgres/prepared-call.ts'
import { type EncodedEvent, partlyKnown } from './encode.ts'
import type { AppendResult, ExpectedRevision } from './event-store.ts'

export type Append = { stream: string; events: EncodedEvent[]; expected: ExpectedRevision }

export type Decision = { outcome: string; revision: number; position: number }

/** Runs one statement. */
export type Call = (statement: PreparedStatement) => Promise<TextRows>

/** One transaction. @returns what was decided on each append, in order. */
export async function appendBatch(call: Call, batch: readonly Append[]): Promise<Decision[]> {
  const rows = await call(statementFor(batch))
  return rows.map(([decision]) => decisionOf(decision ?? ''))
}

/** A row as PostgreSQL prints it, `(appended,0,12)`; there is no position in a conflict, `(conflict,4,)`. */
function decisionOf(row: string): Decision {
  const [outcome = '', revision, position] = row.slice(1, -1).split(',')
  return { outcome, revision: Number(revision), position: Number(position) }
}

function statementFor(batch: readonly Append[]): PreparedStatement {
  const [append, ...others] = batch
  const [event, ...more] = append?.events ?? []
  if (append === undefined || event === undefined || others.length > 0 || more.length > 0) {
    return { name: 'append_batch', text: appendBatchText, values: parametersOf(batch) }
  }
  const { id, type, v, data, metadata } = event
  const values = [append.stream, String(expectedCode(append.expected)), id, type, String(v), data, metadata]
  return { name: 'append_one', text: appendOneText, values }
}

// The row as a whole, not its columns: 0.01 ms less, because the function is then no table to select from.
const appendBatchText = 'select event_store.append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)'
const appendOneText = 'select event_store.append_one($1, $2, $3, $4, $5, $6, $7)'

function parametersOf(batch: readonly Append[]): string[] {
  const streams = new Map<string, number>()
  const appendStream: number[] = []
  const eventAppend: number[] = []
  const eventOffset: number[] = []
  const all: EncodedEvent[] = []
  for (const [index, { stream, events }] of batch.entries()) {
    const number = streams.get(stream) ?? streams.size + 1
    streams.set(stream, number)
    appendStream.push(number)
    for (const [offset, event] of events.entries()) {
      eventAppend.push(index + 1)
      eventOffset.push(offset)
      all.push(event)
    }
  }
  return [
    array([...streams.keys()].map(quoted)),
    array(appendStream),
    array(batch.map((append) => expectedCode(append.expected))),
    array(batch.map((append) => append.events.length)),
    array(eventAppend),
    array(eventOffset),
    array(all.map(({ id }) => id)),
    array(all.map(({ type }) => quoted(type))),
    array(all.map(({ v }) => v)),
    array(all.map(({ data }) => quoted(data))),
    array(all.map(({ metadata }) => quoted(metadata))),
  ]
}

/**
 * As an element of an array. In names (printable ASCII) and in JSON (no control characters, no lone surrogates) there
 * is nothing else to escape than quote and backslash, and `JSON.stringify` does it as PostgreSQL wants it.
 */
const quoted = (text: string) => JSON.stringify(text)

/** An array literal; numbers and UUIDs need no quotes. */
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
      throw partlyKnown(append.stream, append.events.length)
    default:
      throw new Error(`PostgreSQL decided ${decision?.outcome ?? 'nothing'} on an append to ${append.stream}`)
  }
}
