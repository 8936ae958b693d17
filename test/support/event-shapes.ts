import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { eventFamilies } from '../../src/domain/event-families.ts'
import { versionIn } from '../../src/domain/read-event.ts'

/** By `Type v1` what each place in the data accepts, such as `receipt.timings.provenAt?: {"type":"string",…}`. */
export type Shapes = ReadonlyMap<string, readonly string[]>

export const shapesPath = join(import.meta.dirname, '../fixtures/events/shapes.txt')

/** What today's schemas accept. */
export const shapesOfToday = (): Shapes =>
  new Map(
    Object.values(eventFamilies).flatMap((family) =>
      Object.entries(family.schemas).map(([type, schema]) => [`${type} v${versionIn(family, type)}`, shapeOf(schema)]),
    ),
  )

export function shapeOf(schema: z.ZodType): string[] {
  return linesOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema, 'data')
}

/** As they were recorded: each event's name, then its lines. */
export function recordedShapes(): Map<string, string[]> {
  const blocks = readFileSync(shapesPath, 'utf8').trim().split('\n\n').filter(Boolean)
  return new Map(
    blocks.map((block) => {
      const [name = '', ...lines] = block.split('\n')
      return [name, lines]
    }),
  )
}

/**
 * Why events of this shape need a new version; nothing where they do not: all that was added may be left out, and
 * stands where every reader passes over what it does not know.
 */
export function breaksOf(recorded: readonly string[], today: readonly string[]): string[] {
  const before = new Set(recorded)
  const gone = recorded.filter((line) => !today.includes(line)).map((line) => `- ${line}`)
  const added = today
    .filter((line) => !before.has(line) && !isOptionalAddition(line, before))
    .map((line) => `+ ${line}`)
  return [...gone, ...added]
}

/** The outermost place that was not there before is a key that may be left out, of an object that takes others. */
function isOptionalAddition(line: string, before: ReadonlySet<string>): boolean {
  const places = [...before].map(placeOf)
  const path = placeOf(line).split('.')
  const known = path.findLastIndex((_, index) => places.includes(path.slice(0, index + 1).join('.')))
  const parent = path.slice(0, known + 1).join('.')
  return path[known + 1]?.split(/[[|{]/)[0]?.endsWith('?') === true && before.has(`${parent}: object`)
}

const placeOf = (line: string) => line.slice(0, line.indexOf(': '))

type JsonSchema = {
  properties?: Record<string, JsonSchema>
  required?: string[]
  additionalProperties?: boolean | JsonSchema
  items?: JsonSchema
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
  $schema?: string
  format?: string
  pattern?: string
}

function linesOf(schema: JsonSchema, place: string): string[] {
  const { $schema, properties, required = [], additionalProperties, items, anyOf, oneOf, ...more } = schema
  const rest = withoutPatternOfFormat(more)
  const own = (text: string) => `${place}: ${text}${Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest)}` : ''}`
  const choices = anyOf ?? oneOf
  if (choices !== undefined) {
    return [own(`one of ${choices.length}`), ...choices.flatMap((choice, n) => linesOf(choice, `${place}|${n + 1}`))]
  }
  if (properties !== undefined) {
    const keys = Object.entries(properties).flatMap(([key, value]) =>
      linesOf(value, `${place}.${key}${required.includes(key) ? '' : '?'}`),
    )
    return [objectLine(place, rest, additionalProperties === false), ...keys]
  }
  if (typeof additionalProperties === 'object') return [own('record'), ...linesOf(additionalProperties, `${place}{}`)]
  if (items !== undefined) return [own('array'), ...linesOf(items, `${place}[]`)]
  return [own('').replace(/: $/, ': anything').replace(':  ', ': ')]
}

/** That is zod's own, which may write it otherwise in its next version. */
function withoutPatternOfFormat(rest: { format?: string; pattern?: string }): object {
  const { pattern, ...others } = rest
  return rest.format === undefined || pattern === undefined ? rest : others
}

function objectLine(place: string, rest: object, strict: boolean): string {
  const { type: _, ...more } = rest as { type?: string }
  return `${place}: ${strict ? 'object and no other keys' : 'object'}${Object.keys(more).length > 0 ? ` ${JSON.stringify(more)}` : ''}`
}
