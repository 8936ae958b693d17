import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiServer, startApiServer, testToken } from '../../support/api-server.ts'
import { graphql } from '../../support/graphql-client.ts'

let server: ApiServer
beforeAll(async () => {
  server = await startApiServer()
})
afterAll(() => server.close())

const ask = (query: string, variables?: Record<string, unknown>) => graphql(server.url, testToken, query, variables)

describe('[R38] workflows over GraphQL', () => {
  it('one, with its versions; its command redacted, its policy complete', async () => {
    const { data, errors } = await ask(`{
      workflow(name: "BUILDER") {
        name version description command workspace { kind path } env { name value } secretEnv runAs prompt
        labels { name value } policy { preset graceMs onTotalTimeout } definedAt definedBy { kind id }
        versions(first: 1) { edges { cursor node { version } } pageInfo { hasNextPage endCursor } }
      }
      none: workflow(name: "BUILDR") { name }
      workflows { edges { cursor node { name version } } pageInfo { hasNextPage } }
    }`)
    expect(errors).toBeUndefined()
    expect(data).toEqual({
      workflow: {
        name: 'BUILDER',
        version: 2,
        description: null,
        command: ['agent', '--api-key', '[redacted]', 'go'],
        workspace: { kind: 'EXISTING', path: '/src' },
        env: [
          { name: 'A', value: '1' },
          { name: 'API_TOKEN', value: '[redacted]' },
          { name: 'DEPTH', value: '2' },
        ],
        secretEnv: ['KEY'],
        runAs: null,
        prompt: null,
        labels: [{ name: 'team', value: 'core' }],
        policy: { preset: 'STRICT', graceMs: 9_000, onTotalTimeout: 'KILL' },
        definedAt: '2026-01-01T00:00:00.000Z',
        definedBy: { kind: 'USER', id: 'ada' },
        versions: { edges: [{ cursor: 'v2', node: { version: 2 } }], pageInfo: { hasNextPage: true, endCursor: 'v2' } },
      },
      none: null,
      workflows: { edges: [{ cursor: 'w1', node: { name: 'BUILDER', version: 2 } }], pageInfo: { hasNextPage: false } },
    })
  })

  it.each([
    ['{ workflow(name: "BUILDER", version: 0) { name } }', '"version" is 0'],
    ['{ workflows(first: 501) { edges { cursor } } }', '"first" is 501'],
    ['{ workflow(name: "BUILDER") { versions(first: 0) { edges { cursor } } } }', '"first" is 0'],
  ])('out of bounds: %s', async (query, message) => {
    const { errors } = await ask(query)
    expect(errors).toMatchObject([{ extensions: { code: 'BAD_USER_INPUT' } }])
    expect(errors?.[0]?.message).toContain(message)
  })

  it('defineWorkflow passes on what was given, and who asked', async () => {
    const input = {
      name: 'BUILDER',
      command: ['agent'],
      env: [{ name: 'A', value: '1' }],
      labels: [{ name: 'team', value: 'core' }],
      workspace: { kind: 'EXISTING', path: '/src' },
      policy: { preset: 'STRICT', onStuck: 'ALERT', graceMs: null },
      prompt: null,
    }
    const { data, errors } = await ask(
      `mutation ($input: DefineWorkflowInput!) { defineWorkflow(input: $input) {
        __typename ... on DefineWorkflowAnswer { created workflow { name version } } } }`,
      { input },
    )
    expect(errors).toBeUndefined()
    expect(data.defineWorkflow).toEqual({
      __typename: 'DefineWorkflowAnswer',
      created: true,
      workflow: { name: 'BUILDER', version: 2 },
    })
    expect(server.control.calls.at(-1)).toMatchObject({ context: { actor: { kind: 'token', id: 'admin' } } })
    expect(JSON.parse(JSON.stringify(server.control.calls.at(-1)?.input))).toEqual({
      name: 'BUILDER',
      command: ['agent'],
      env: { A: '1' },
      labels: { team: 'core' },
      workspace: { kind: 'EXISTING', path: '/src' },
      policy: { preset: 'strict', onStuck: 'alert' },
    })
  })

  it('startRun and restartRun say which definition they mean', async () => {
    await ask(`mutation { startRun(input: { workflow: "BUILDER", workflowVersion: 1 }) { __typename } }`)
    expect(server.control.calls.at(-1)?.input).toEqual({ workflow: 'BUILDER', workflowVersion: 1 })
    await ask(`mutation { restartRun(input: { runId: "run_0123456789ab", definition: CURRENT }) { __typename } }`)
    expect(server.control.calls.at(-1)?.input).toEqual({ runId: 'run_0123456789ab', definition: 'CURRENT' })
  })
})
