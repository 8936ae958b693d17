import { readFileSync } from 'node:fs'
import {
  execute,
  type GraphQLNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  parse,
  subscribe,
} from 'graphql'
import { describe, expect, it } from 'vitest'
import { printedSchema, printedSchemaPath } from '../../../schema/print.ts'
import { schema } from '../../../schema/schema.ts'
import { createFakeControl } from '../../support/fake-control.ts'
import { operationsOf } from '../../support/root-fields.ts'

const ownTypes = Object.values(schema.getTypeMap()).filter(({ name }) => !name.startsWith('__'))

it('[R38] schema/schema.graphql is what the code says (else: npm run schema:print)', () => {
  expect(readFileSync(printedSchemaPath, 'utf8')).toBe(printedSchema)
})

it('[R38] every type, field, argument and value is described', () => {
  expect(ownTypes.flatMap(undescribed)).toEqual([])
})

function undescribed(type: GraphQLNamedType): string[] {
  const missing = (name: string, { description }: { description?: string | null }) => (description ? [] : [name])
  const parts = isEnumType(type)
    ? type.getValues().flatMap((value) => missing(`${type.name}.${value.name}`, value))
    : isInputObjectType(type)
      ? Object.values(type.getFields()).flatMap((field) => missing(`${type.name}.${field.name}`, field))
      : isObjectType(type) || isInterfaceType(type)
        ? Object.values(type.getFields()).flatMap((field) => [
            ...missing(`${type.name}.${field.name}`, field),
            ...field.args.flatMap((arg) => missing(`${type.name}.${field.name}(${arg.name})`, arg)),
          ])
        : []
  return [...missing(type.name, type), ...parts]
}

describe('[R19] without a viewer nothing is served', () => {
  const untouchable = new Proxy(createFakeControl(), {
    get: (_control, method) => () => {
      throw new Error(`control.${String(method)} was reached`)
    },
  })
  const contextValue = {
    control: untouchable,
    viewer: null,
    correlationId: 'none',
    signal: new AbortController().signal,
    now: Date.now,
    version: '0',
  }

  it.each(operationsOf(schema))('$operation $name', async ({ operation, document }) => {
    const run = operation === 'subscription' ? subscribe : execute
    const result = await run({ schema, document: parse(document), contextValue: { ...contextValue } })
    expect(result).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] })
  })

  it('a type is protected whether or not its author thought of it', () => {
    const unprotected = ownTypes
      .filter((type) => isObjectType(type) || isInterfaceType(type))
      .filter(({ extensions }) => {
        const { authScopes } = extensions.pothosOptions as { authScopes?: { authenticated?: boolean } }
        return authScopes?.authenticated !== true
      })
    expect(unprotected.map(({ name }) => name)).toEqual([])
  })
})
