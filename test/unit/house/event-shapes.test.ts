import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { eventFamilies } from '../../../src/domain/event-families.ts'
import { breaksOf, recordedShapes, shapeOf, shapesOfToday } from '../../support/event-shapes.ts'

const project = join(import.meta.dirname, '../../..')
const read = (path: string) => readFileSync(join(project, path), 'utf8')

const wayOut =
  'Keys that may be left out need no new version: `node test/support/record-event-shapes.ts` records them. Everything ' +
  'else does: one more upcaster in the family of the type, a fixture test/fixtures/events/v<n>/<Type>.json, then record.'

it('[house] no event changes what it accepts without a new version', () => {
  const recorded = recordedShapes()
  for (const [name, lines] of shapesOfToday()) expect(lines, `${name}: ${wayOut}`).toEqual(recorded.get(name))
})

it('[house] every version of every event that was ever written is on record', () => {
  const names = Object.values(eventFamilies).flatMap(({ schemas, upcasters }) =>
    Object.keys(schemas).flatMap((type) =>
      Array.from({ length: (upcasters[type]?.length ?? 0) + 1 }, (_, index) => `${type} v${index + 1}`),
    ),
  )
  expect([...recordedShapes().keys()].toSorted()).toEqual(names.toSorted())
})

it('[house] every family of events is in the list, and nobody else says what version an event has', () => {
  const declared = globSync('src/domain/*.ts', { cwd: project }).flatMap((path) =>
    [...read(path).matchAll(/^export const (\w+): EventFamily</gm)].map((match) => match[1]),
  )
  const listed = [...read('src/domain/event-families.ts').matchAll(/^ {2}\w+: (\w+),/gm)].map((match) => match[1])
  expect(declared.length).toBeGreaterThan(4)
  expect(listed.toSorted()).toEqual(declared.toSorted())
  const literal = globSync('{src,schema,projections}/**/*.ts', { cwd: project }).filter((path) =>
    /\bv: \d/.test(read(path)),
  )
  expect(literal).toEqual([])
})

describe('the check can fail', () => {
  const lines = (shape: z.ZodRawShape) => shapeOf(z.object(shape))
  const before = lines({ name: z.string(), kind: z.enum(['a', 'b']), inner: z.object({ n: z.number() }) })
  const kept = { name: z.string(), kind: z.enum(['a', 'b']), inner: z.object({ n: z.number() }) }

  it('passes what may be left out, at any depth', () => {
    expect(breaksOf(before, lines({ ...kept, more: z.string().optional() }))).toEqual([])
    expect(breaksOf(before, lines({ ...kept, more: z.object({ x: z.number() }).optional() }))).toEqual([])
    const deeper = { ...kept, inner: z.object({ n: z.number(), m: z.array(z.object({ k: z.string() })).optional() }) }
    expect(breaksOf(before, lines(deeper))).toEqual([])
  })

  it.each([
    ['a key that must be there', { ...kept, more: z.string() }],
    ['a key that is gone', { name: kept.name, kind: kept.kind }],
    ['a key that may be left out now', { ...kept, name: z.string().optional() }],
    ['one more choice', { ...kept, kind: z.enum(['a', 'b', 'c']) }],
    ['another bound', { ...kept, name: z.string().max(5) }],
    ['another type deeper down', { ...kept, inner: z.object({ n: z.string() }) }],
    ['other keys refused', { ...kept, inner: z.strictObject({ n: z.number() }) }],
  ])('sees %s', (_, changed) => {
    expect(breaksOf(before, lines(changed))).not.toEqual([])
  })

  it('sees a key in an object that takes no other keys: older readers stumble upon it', () => {
    const strict = shapeOf(z.strictObject({ n: z.number() }))
    expect(breaksOf(strict, shapeOf(z.strictObject({ n: z.number(), m: z.number().optional() })))).not.toEqual([])
  })
})
