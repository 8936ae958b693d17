import { builder } from './builder.ts'

export const EnvVarInput = builder.inputType('EnvVarInput', {
  description: 'An environment variable. It is recorded as it is: nothing secret belongs here.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Letters, digits and _; not beginning with RUNWARDEN_.' }),
    value: t.string({ required: true, description: 'Value.' }),
  }),
})

export const LabelInput = builder.inputType('LabelInput', {
  description: 'A name and a value for your own use.',
  fields: (t) => ({
    name: t.string({ required: true, description: '1–100 characters.' }),
    value: t.string({ required: true, description: 'At most 500 characters.' }),
  }),
})

type Named = { name: string; value: string }

/** GraphQL has no maps; control takes them as such. */
export const toRecord = (pairs: readonly Named[]) => Object.fromEntries(pairs.map(({ name, value }) => [name, value]))
