import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { RecordedEvent } from '../../../src/domain/event.ts'
import { type ApiServer, startApiServer, testToken } from '../../support/api-server.ts'
import { graphql } from '../../support/graphql-client.ts'
import { identity, runId } from '../../support/run-events.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer()
})
afterAll(() => server.close())

const fixture = (type: string): RecordedEvent<string, object> =>
  JSON.parse(readFileSync(join(import.meta.dirname, `../../fixtures/events/v1/${type}.json`), 'utf8'))
const command = ['agent', '--api-key', 'hush']
const env = { DEPTH: '2', API_TOKEN: 'hush', URL: 'https://ada:hush@box/' }
const launch = { driver: 'command', command, workspace: { kind: 'TEMPORARY' }, env, secretEnv: [] }

it.each([
  ['RunRequested', { launch }],
  [
    'RunRequested',
    { launch: null, origin: 'registered', registered: { root: identity(7), workspacePath: null, launch } },
  ],
  ['RestartRequested', { launch }],
])('[R38] the data of %s show no secret of a command line', async (type, changes) => {
  const event = { ...fixture(type), data: { ...fixture(type).data, ...changes } }
  server.control.runEvents = async () => ({
    items: [{ item: { event, cursor: 'c' }, cursor: 'c' }],
    hasNextPage: false,
  })
  const { data } = await graphql(server.url, testToken, `{ runEvents(id: "${runId}") { edges { node { data } } } }`)
  const shown = JSON.stringify(data.runEvents)
  expect(shown).toContain('"agent","--api-key","[redacted]"')
  expect(shown).toContain('"DEPTH":"2","API_TOKEN":"[redacted]","URL":"https://ada:[redacted]@box/"')
  expect(shown).not.toContain('hush')
})

it('[R41] what only a newer Runwarden knows is shown as it is, but for command lines', async () => {
  const newer = { ...fixture('RunRequested'), v: 99, data: { plan: [{ command, env, to: 'mars' }] } }
  const event = { ...newer, metadata: { ...newer.metadata, actor: { kind: 'oracle' as never, id: 'o' } } }
  server.control.runEvents = async () => ({
    items: [{ item: { event, cursor: 'c' }, cursor: 'c' }],
    hasNextPage: false,
  })
  const { data } = await graphql(
    server.url,
    testToken,
    `{ runEvents(id: "${runId}") { edges { node { type version isKnown summary data actor { kind id } } } } }`,
  )
  expect(data.runEvents.edges).toEqual([
    {
      node: {
        type: 'RunRequested',
        version: 99,
        isKnown: false,
        summary: 'RunRequested v99, which this Runwarden does not know',
        data: {
          plan: [
            {
              command: ['agent', '--api-key', '[redacted]'],
              env: { DEPTH: '2', API_TOKEN: '[redacted]', URL: 'https://ada:[redacted]@box/' },
              to: 'mars',
            },
          ],
        },
        actor: { kind: 'OTHER', id: 'o' },
      },
    },
  ])
})
