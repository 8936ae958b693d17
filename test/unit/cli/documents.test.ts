import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSchema, parse, validate } from 'graphql'
import { expect, it } from 'vitest'
import { documents } from '../../../src/cli/documents.ts'

const schema = buildSchema(readFileSync(join(import.meta.dirname, '../../../schema/schema.graphql'), 'utf8'))
const errorsOf = (document: string) => validate(schema, parse(document)).map(({ message }) => message)

it.each(Object.entries(documents))('[R40] the document "%s" fits the committed schema', (_name, document) => {
  expect(errorsOf(document)).toEqual([])
})

it('the check can fail', () => {
  expect(errorsOf('{ runs { nothingLikeThis } }')).not.toEqual([])
})
