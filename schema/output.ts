import type { OutputText } from '../src/control/control.ts'
import { builder } from './builder.ts'
import { follow } from './follow.ts'
import { wholeNumber } from './page.ts'
import { mustExist } from './run-queries.ts'

const OutputChunk = builder.objectRef<OutputText>('OutputChunk').implement({
  description: 'A part of what a run wrote to its standard output and standard error.',
  fields: (t) => ({
    offset: t.exposeFloat('offset', {
      description: 'Bytes before it; more than was asked for when older output is no longer kept.',
    }),
    next: t.exposeFloat('next', { description: 'The offset to go on from, in bytes.' }),
    text: t.exposeString('text', { description: 'UTF-8; bytes that are none come as U+FFFD.' }),
    ended: t.exposeBoolean('ended', { description: 'Nothing will follow.' }),
  }),
})

/** Bytes. */
const standardSize = 65_536
const sizeMax = 1_048_576

builder.queryField('runOutput', (t) =>
  t.field({
    type: OutputChunk,
    nullable: true,
    description: 'Output of a run from an offset on. null: there is no such run, or its host has no output of it.',
    args: {
      id: t.arg.id({ required: true, description: 'Its run id.' }),
      offset: t.arg.float({ defaultValue: 0, description: 'Bytes to leave out at the beginning.' }),
      maxBytes: t.arg.int({ defaultValue: standardSize, description: 'Bytes at most, 1–1048576.' }),
    },
    resolve: (_root, { id, offset, maxBytes }, { control }) =>
      control.runOutput(
        id,
        wholeNumber('offset', offset ?? 0, 0),
        wholeNumber('maxBytes', maxBytes ?? standardSize, 1, sizeMax),
      ),
  }),
)

builder.subscriptionField('runOutput', (t) =>
  t.field({
    type: OutputChunk,
    description: 'Output of a run from an offset on, then live. Ends when the output has.',
    args: {
      id: t.arg.id({ required: true, description: 'Its run id.' }),
      offset: t.arg.float({ defaultValue: 0, description: 'Bytes to leave out at the beginning.' }),
    },
    subscribe: async (_root, { id, offset }, context) => {
      const from = wholeNumber('offset', offset ?? 0, 0)
      await mustExist(id, context)
      return follow(context.signal, (signal) => context.control.followRunOutput(id, from, signal))
    },
    resolve: (chunk) => chunk,
  }),
)
