import { afterEach, describe, expect, it } from 'vitest'
import type { EmergencyKillAnswer } from '../../../src/cli/answers.ts'
import type { LocalKillOptions, LocalKillResult } from '../../../src/cli/composed.ts'
import { type CliOptions, cli } from '../../support/cli.ts'
import { type FakeGraphQLServer, startFakeGraphQLServer } from '../../support/fake-graphql-server.ts'
import { provenReceipt, unprovenReceipt } from '../../support/fake-runs.ts'

const id = 'run_0123456789ab'
/** Nobody listens there. */
const nobody = 'http://127.0.0.1:2'

const answer = (changes: Partial<EmergencyKillAnswer> = {}): EmergencyKillAnswer => ({
  ...{ __typename: 'EmergencyKillAnswer', success: true, runId: id, killedAt: provenReceipt.timings.provenAt ?? null },
  ...{ cleanupStatus: 'DONE', message: 'The record of it follows.', joined: false, waitExpired: false },
  receipt: { json: provenReceipt },
  ...changes,
})

/** Its root was gone before anybody was signalled; only the child that it left was. */
const endedByItself = { ...provenReceipt, processes: provenReceipt.processes.slice(1) }
/** The file system's clock, which tells when it exited, was behind. */
const exitedEarlier = { ...provenReceipt, rootExit: { status: 137, at: provenReceipt.timings.requestedAt } }

let server: FakeGraphQLServer | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function onServer(result: object, argv: string[]) {
  const inputs: unknown[] = []
  server = await startFakeGraphQLServer({
    Query: { run: () => null },
    Mutation: {
      killRun: ({ input }: { input: unknown }) => {
        inputs.push(input)
        return result
      },
    },
  })
  const env = { RUNWARDEN_URL: server.url, RUNWARDEN_TOKEN: server.token }
  return { ...(await cli(['kill', id, ...argv], { env })), inputs }
}

function withoutServer(result: LocalKillResult, argv: string[] = [], options: CliOptions = {}) {
  const asked: LocalKillOptions[] = []
  const killLocally = async (local: LocalKillOptions) => {
    asked.push(local)
    return result
  }
  const env = { RUNWARDEN_URL: nobody, ...options.env }
  return cli(['kill', id, '--emergency', ...argv], { env, composed: { killLocally } }).then((end) => ({
    ...end,
    asked,
  }))
}

describe('[R40] [R4] kill --emergency on a server whose event store is away', () => {
  it('shows the whole receipt, and says that the record follows', async () => {
    const { code, stdout, stderr, inputs } = await onServer(answer(), ['--emergency', '--reason', 'it burns'])
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(new RegExp(`^${id}  KILLED 3\\.0 s after the request, cleanup DONE\n`))
    expect(stdout).toContain('PROVEN DEAD')
    expect(stdout).toContain('sh -c sleep 600')
    expect(stderr).toBe('The record of it follows.\n')
    expect(inputs).toMatchObject([{ runId: id, emergency: true, reason: 'it burns' }])
  })

  it.each([
    ['not proven', answer({ success: false, killedAt: null, receipt: { json: unprovenReceipt } }), 'KILL_UNVERIFIED'],
    ['under way', answer({ success: false, killedAt: null, receipt: null }), 'no receipt yet'],
    ['over before anybody signalled', answer({ receipt: { json: endedByItself } }), 'ended by itself'],
    ['killed', answer({ receipt: { json: exitedEarlier } }), 'KILLED 3.0 s after the request'],
  ])('its first line says how it stands: %s', async (_what, result, standing) => {
    const { stdout } = await onServer(result, ['--emergency'])
    expect(stdout.split('\n')[0]).toBe(`${id}  ${standing}, cleanup DONE`)
  })

  it('prints the answer as JSON', async () => {
    const { code, stdout } = await onServer(answer(), ['--emergency', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual(answer())
  })

  it.each([
    ['not proven', answer({ success: false, receipt: { json: unprovenReceipt } }), [], 1],
    ['the wait expired', answer({ success: false, receipt: null, waitExpired: true }), [], 124],
    ['accepted', answer({ success: false, receipt: null }), ['--wait', 'accepted'], 0],
    [
      'accepted, and known not to be proven',
      answer({ success: false, receipt: { json: unprovenReceipt } }),
      ['--wait', 'accepted'],
      1,
    ],
    ['a launch that had failed', answer({ success: false, receipt: null }), [], 1],
  ] as const)('%s: exit status', async (_what, result, argv, code) => {
    expect((await onServer(result, ['--emergency', ...argv])).code).toBe(code)
  })
})

describe('[R40] [R4] kill --emergency without a server', () => {
  it('kills from here, says so, and shows the same', async () => {
    const argv = ['--reason', 'it burns', '--timeout', '7s', '--idempotency-key', 'k']
    const { code, stdout, stderr, asked } = await withoutServer({ type: 'answer', answer: answer() }, argv)
    expect(code, stderr).toBe(0)
    expect(stdout).toContain('PROVEN DEAD')
    expect(stderr).toContain(`${nobody} does not answer: to kill ${id} from here`)
    expect(asked).toMatchObject([
      { runId: id, reason: 'it burns', idempotencyKey: 'k', cleaned: true, timeoutMs: 7_000 },
    ])
  })

  it.each([
    ['denied', 4],
    ['not-found', 3],
    ['unavailable', 6],
  ] as const)('refused as %s ends with %i, a sentence and the way out', async (reason, code) => {
    const refused = { type: 'refused', reason, message: 'It is not to be.', wayOut: 'Do this.' } as const
    const end = await withoutServer(refused)
    expect(end).toMatchObject({ code, stdout: '' })
    expect(end.stderr).toContain('runwarden: It is not to be.\nDo this.\n')
  })

  it('stays for the proof whatever it was to wait for: nobody else would go on', async () => {
    const expired = answer({ success: false, receipt: null, waitExpired: true })
    const { code, asked } = await withoutServer({ type: 'answer', answer: expired }, ['--wait', 'accepted'])
    expect(asked).toMatchObject([{ cleaned: false }])
    expect(code).toBe(124)
  })

  it('[R9] is for the server of this machine only', async () => {
    const env = { RUNWARDEN_URL: 'http://runwarden.invalid:4680', RUNWARDEN_TOKEN: 'x' }
    const { code, stderr, asked } = await withoutServer({ type: 'answer', answer: answer() }, [], { env })
    expect(code).toBe(6)
    expect(stderr).not.toContain('--emergency')
    expect(asked).toEqual([])
  })

  it('asks a server that has come up meanwhile', async () => {
    server = await startFakeGraphQLServer({ Query: { run: () => null }, Mutation: { killRun: () => answer() } })
    let isAway = true
    server.refuse(() => isAway)
    const killLocally = async (): Promise<LocalKillResult> => {
      isAway = false
      return { type: 'served' }
    }
    const env = { RUNWARDEN_URL: server.url, RUNWARDEN_TOKEN: server.token }
    const end = await cli(['kill', id, '--emergency'], { env, composed: { killLocally } })
    expect(end.code, end.stderr).toBe(0)
    expect(end.stdout).toContain('PROVEN DEAD')
    expect(end.stderr).toContain('A server has come up meanwhile')
  })

  it('without --emergency nothing is killed from here; the way is told', async () => {
    const end = await cli(['kill', id], { env: { RUNWARDEN_URL: nobody } })
    expect(end).toMatchObject({ code: 6, stdout: '' })
    expect(end.stderr).toContain(`runwarden kill ${id} --emergency`)
  })
})
