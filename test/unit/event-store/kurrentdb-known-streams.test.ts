import { expect, it } from 'vitest'
import { createKnownStreams, type KnownStream } from '../../../src/event-store/kurrentdb-known-streams.ts'
import type { KurrentReader } from '../../../src/event-store/kurrentdb-reader.ts'

const known = () => createKnownStreams({ streamPage: async () => [] } as unknown as KurrentReader)

const streamOf = (ids: number): KnownStream => ({
  last: ids - 1,
  ids: new Map(Array.from({ length: ids }, (_, revision) => [`id-${revision}`, revision])),
})

it('[R41] forgets the streams that were not written to for longest, when it knows too many ids', () => {
  const streams = known()
  for (const name of ['a', 'b', 'c']) streams.keep(name, streamOf(60_000))
  streams.keep('a', streams.get('a') ?? streamOf(0))
  streams.keep('d', streamOf(60_000))
  expect(['a', 'b', 'c', 'd'].filter((name) => streams.get(name) === undefined)).toEqual(['b'])
})

it('[R41] counts the ids that a stream has got since, and keeps the one in use however large it is', () => {
  const streams = known()
  const growing = streamOf(10)
  streams.keep('small', streamOf(10))
  streams.keep('growing', growing)
  for (let revision = 0; revision < 250_000; revision += 1) growing.ids.set(`new-${revision}`, revision)
  streams.keep('growing', growing)
  expect(streams.get('small')).toBeUndefined()
  expect(streams.get('growing')).toBe(growing)
})

it('[R41] takes the revision that the server tells where retention has left no event to tell it', async () => {
  const stream = streamOf(0)
  await known().refresh('old', stream, 41)
  expect(stream.last).toBe(41)
})
