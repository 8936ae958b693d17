import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { printSchema } from 'graphql'
import { schema } from './schema.ts'

/** What clients build on, for people and tools to read: `npm run schema:print` writes it, a test fails when it is old. */
export const printedSchemaPath = join(import.meta.dirname, 'schema.graphql')
export const printedSchema = `${printSchema(schema)}\n`

if (import.meta.main) writeFileSync(printedSchemaPath, printedSchema)
