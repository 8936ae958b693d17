import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createDiskWatch, watchDisks } from '../../../src/host/disk-watch.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'
import { waitUntil } from '../../support/wait-until.ts'

const clock = () => new Date('2026-01-01T00:00:00.000Z')
const { signal } = new AbortController()
const seenAt = '2026-01-01T00:00:00.000Z'
const places = ['data', 'postgres', 'runs', 'artifacts'].map((name) => ({ name, path: `/${name}` }))
const space = { freeBytes: 1, totalBytes: 2 }

it('[R10] places on one file system are one, a directory that is not made yet is where its parent is', async () => {
  const directory = makeTemporaryDirectory()
  try {
    const real = [
      { name: 'data', path: directory.path },
      { name: 'artifacts', path: join(directory.path, 'host', 'artifacts') },
      { name: 'proc', path: '/proc' },
    ]
    const watch = createDiskWatch({ places: real, clock, signal })
    expect(watch.disks.map(({ freeBytes }) => freeBytes)).toEqual([null, null, null])
    await watch.look()
    expect(watch.disks).toEqual([
      expect.objectContaining({ place: 'data', path: directory.path, places: ['data', 'artifacts'], seenAt }),
      expect.objectContaining({ place: 'proc', places: ['proc'], totalBytes: 0, failure: null }),
    ])
    const { freeBytes, totalBytes } = watch.disks[0] ?? {}
    expect(freeBytes).toBeGreaterThan(0)
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes ?? Number.NaN)
  } finally {
    directory.remove()
  }
})

it('[R10] a file system that hangs is left alone, the others are looked at; after two no further one is asked', async () => {
  const asked: string[] = []
  const hanging = new Map<string, () => void>()
  const hangs = new Set(['/data'])
  const watch = createDiskWatch({
    ...{ places, clock, signal, answerMs: 20 },
    look(path) {
      asked.push(path)
      const answer = { ...space, device: path.length }
      if (!hangs.has(path)) return Promise.resolve(answer)
      return new Promise((resolve) => hanging.set(path, () => resolve(answer)))
    },
  })
  const failures = () => watch.disks.map(({ place, failure }) => [place, failure])
  await watch.look()
  await watch.look()
  expect(asked.filter((path) => path === '/data')).toHaveLength(1)
  expect(failures()).toEqual([
    ['data', 'has not answered within 0.02 s'],
    ['postgres', null],
    ['runs', null],
    ['artifacts', null],
  ])
  hangs.add('/postgres')
  await watch.look()
  asked.length = 0
  await watch.look()
  expect(asked).toEqual([])
  expect(failures().map(([, failure]) => failure)).toEqual([
    'has not answered within 0.02 s',
    'has not answered within 0.02 s',
    'is not looked at while others do not answer',
    'is not looked at while others do not answer',
  ])
  expect(watch.disks[1]).toMatchObject({ freeBytes: null, totalBytes: null, seenAt })
  hangs.clear()
  for (const answer of hanging.values()) answer()
  await waitUntil(() => watch.disks[0]?.failure === null, 'the late answer')
  await watch.look()
  expect(failures().every(([, failure]) => failure === null)).toBe(true)
})

it('[R10] an error is told, and no hang stands in the way of an end', async () => {
  const ending = new AbortController()
  const failing = createDiskWatch({ places, clock, signal, look: () => Promise.reject(new Error('EIO')) })
  await failing.look()
  expect(failing.disks[0]).toMatchObject({ failure: 'EIO', freeBytes: null })
  const options = { places, clock, signal: ending.signal, intervalMs: 1, answerMs: 1e8 }
  const hanging = watchDisks({ ...options, look: () => new Promise(() => {}) })
  ending.abort()
  await hanging.done
})
