import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Alert, OutputChunk, RunDetails, RunEvent } from '../../../src/cli/answers.ts'
import { type CliOptions, cli as runCli } from '../../support/cli.ts'
import { type FakeGraphQLServer, startFakeGraphQLServer } from '../../support/fake-graphql-server.ts'
import { fakeAlert, fakeEvent, fakeRun, killedRun, pageOf, unprovenReceipt } from '../../support/fake-runs.ts'

/** The real commands over real HTTP and WebSocket, against a server with the committed schema and made-up answers. */
let server: FakeGraphQLServer
let runs: RunDetails[]
let events: RunEvent[]
let alerts: Alert[]
let output: string[]
/** So many subscriptions to the output come before the launch of the run, and end at once. */
let launchesToWaitFor = 0
/** What the server was asked, and what it answers a mutation with. */
let asked: Record<string, unknown>[]
let answer: unknown
let storeStats: Record<string, unknown> = {
  ...{ engine: 'POSTGRESQL', version: '18.4', storeId: '00000000-0000-4000-8000-000000000000', position: 1_235_567 },
  ...{ events: 1_234_567, retiredEvents: 1_000, bytesOnDisk: 2.5 * 2 ** 30, appendedPerSecond: 0.25 },
  streams: [
    { kind: 'run', streams: 12, events: 567, retired: 0 },
    { kind: 'telemetry', streams: 12, events: 1_234_000, retired: 1_000 },
  ],
  ...{ oldestAt: '2026-11-01T03:00:00.000Z', newestAt: '2026-11-21T03:00:00.000Z' },
}

const id = 'run_0123456789ab'
const esc = '\u001b'

beforeAll(async () => {
  const run = (args: { id: string }) => runs.find((known) => known.id === args.id) ?? null
  const mutation = ({ input }: { input: Record<string, unknown> }) => {
    asked.push(input)
    return typeof answer === 'function' ? answer(input) : answer
  }
  server = await startFakeGraphQLServer({
    Query: {
      run,
      runs: (args: { first: number; after: string | null; filter: Record<string, unknown> }) => {
        asked.push(args)
        const from = args.after === null ? 0 : Number(args.after.slice(1)) + 1
        const { idPrefix = '' } = args.filter as { idPrefix?: string }
        const found = runs.filter((known) => known.id.startsWith(idPrefix))
        const page = found.slice(from, from + args.first)
        const last = from + page.length - 1
        return {
          ...pageOf(page),
          pageInfo: { hasNextPage: last < found.length - 1, hasPreviousPage: false, endCursor: `c${last}` },
        }
      },
      alerts: (args: { open: boolean | null; runId: string | null; first: number }) => {
        asked.push(args)
        return pageOf(alerts.slice(0, args.first))
      },
      runEvents: (args: { id: string }) => (run(args) === null ? null : pageOf(events)),
      runOutput: (args: { id: string; offset: number }) => chunks()[args.offset] ?? null,
      audit: () =>
        pageOf([
          {
            id: 'a',
            at: '2026-11-21T03:41:07.000Z',
            actor: { kind: 'TOKEN', id: 'admin' },
            action: 'killRun',
            target: `${id}${esc}[2J`,
            runId: id,
            reason: null,
            details: {},
            decision: 'DENIED',
            why: 'no right',
            completedAt: null,
            outcome: null,
            detail: null,
            correlationId: 'c',
          },
        ]),
      hosts: () => [
        {
          id: 'host_0123456789ab',
          hostname: 'box',
          platform: 'linux',
          bootId: 'b',
          level: 'CGROUP_V2',
          levelDetail: 'cgroup.kill is there',
          slots: { capacity: 16, used: 2, waiting: 1 },
          disks: [],
          checks: [],
        },
      ],
      storeStats: () => storeStats,
      projections: () => [
        { name: 'runs', version: 1, position: 12, lag: 0, state: 'running', error: null, skips: [] },
        {
          ...{ name: 'alerts', version: 1, position: 6, lag: 6, state: 'failed', error: 'event 7: no' },
          failure: { position: 7, type: 'AlertRaised', stream: 'alert-x', error: 'no' },
          skips: [
            {
              ...{ position: 5, type: 'AlertRaised', stream: 'alert-x', error: 'no', reason: 'old' },
              ...{ skippedBy: { kind: 'TOKEN', id: 'admin' }, skippedAt: '2026-11-21T03:41:07.000Z' },
            },
          ],
        },
      ],
    },
    Mutation: {
      startRun: mutation,
      killRun: mutation,
      registerProcess: mutation,
      rebuildProjections: () => answer,
      skipProjectionEvent: (args: Record<string, unknown>) => {
        asked.push(args)
        return answer
      },
      runCanary: () => answer,
    },
    Subscription: {
      runEvents: async function* (args: { after: string | null }) {
        const from = args.after == null ? 0 : Number(args.after.slice(1)) + 1
        for (const [index, node] of events.entries()) if (index >= from) yield { cursor: `c${index}`, node }
      },
      runOutput: async function* (args: { offset: number }) {
        if (launchesToWaitFor-- > 0) return
        for (const chunk of chunks()) if (chunk.offset >= args.offset) yield chunk
      },
    },
  })
})
afterAll(() => server.close())
beforeEach(() => {
  runs = [fakeRun()]
  events = []
  alerts = []
  output = []
  asked = []
})

/** Offsets count chunks here: what they count is the server's business. */
const chunks = (): OutputChunk[] =>
  [...output, ''].map((text, index) => ({ offset: index, next: index + 1, text, ended: index === output.length }))

const cli = (argv: string[], options: CliOptions = {}) =>
  runCli(argv, { ...options, env: { RUNWARDEN_URL: server.url, RUNWARDEN_TOKEN: server.token, ...options.env } })
const lines = (text: string) => text.trimEnd().split('\n')

function dataDirectory(files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'rw-test-cli-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return directory
}

describe('finding the server and its token', () => {
  it('[R40] both are found in the data directory, without a word on the command line', async () => {
    const directory = dataDirectory({
      'owner.json': JSON.stringify({ url: server.url }),
      'admin.token': `${server.token}\n`,
    })
    expect((await runCli(['ls'], { env: { RUNWARDEN_DATA_DIR: directory } })).code).toBe(0)
  })

  it('[R40] a wrong token and a missing one end with 4, and say where they were looked for', async () => {
    const wrong = await cli(['ls'], { env: { RUNWARDEN_TOKEN: 'wrong' } })
    expect(wrong).toMatchObject({ code: 4, stdout: '' })
    expect(wrong.stderr).toContain('does not accept the token of RUNWARDEN_TOKEN')
    const missing = await runCli(['ls', '--url', server.url], {})
    expect(missing.code).toBe(4)
    expect(missing.stderr).toContain('/nonexistent/runwarden/admin.token')
    expect((await cli(['ls', '--token-file', '/nonexistent/token'])).code).toBe(4)
    const follow = await cli(['events', id, '--follow'], { env: { RUNWARDEN_TOKEN: 'wrong' } })
    expect(follow.code).toBe(4)
  })

  it('[R40] the token of this machine is not sent to another one', async () => {
    const directory = dataDirectory({ 'admin.token': server.token })
    const env = { RUNWARDEN_DATA_DIR: directory, RUNWARDEN_URL: 'http://runwarden.invalid:4680' }
    const { locateServer } = await import('../../../src/cli/locate.ts')
    expect(locateServer({}, env).token).toBeUndefined()
    expect(locateServer({ url: 'http://127.0.0.1:1' }, env).token).toBe(server.token)
    expect(locateServer({}, { ...env, RUNWARDEN_TOKEN: 'its-own' }).token).toBe('its-own')
  })
})

describe('run', () => {
  beforeEach(() => {
    answer = { __typename: 'StartRunAnswer', run: fakeRun() }
  })

  it('[R40] prints just the id; the current directory is the workspace', async () => {
    expect(await cli(['run', '--', 'sleep', '-x', '600'])).toEqual({ code: 0, stdout: `${id}\n`, stderr: '' })
    expect(asked[0]).toEqual({ command: ['sleep', '-x', '600'], workspace: { kind: 'EXISTING', path: '/somewhere' } })
  })

  it('[R40] a launch that fails right away is told, and fails; the id is there all the same', async () => {
    answer = { __typename: 'StartRunAnswer', run: fakeRun({ status: 'REQUESTED', startedAt: null, pid: null }) }
    const failure = { reason: 'LAUNCH_FAILED', message: 'There is no directory /nope.', code: 'WORKSPACE_UNREADABLE' }
    runs = [fakeRun({ status: 'FAILED', startedAt: null, pid: null, failure })]
    const { code, stdout, stderr } = await cli(['run', '--cwd', '/nope', '--', 'true'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: `${id}\n` })
    expect(stderr).toContain(`${id} could not be launched: There is no directory /nope.`)
    expect(stderr).toContain(`runwarden show ${id}`)
    runs = [fakeRun({ status: 'FAILED', failure: { reason: 'EXIT_STATUS', message: 'It ended with 1.', code: null } })]
    expect(await cli(['run', '--', 'false'])).toMatchObject({ code: 0, stderr: '' })
  })

  it('[R40] a run that waits for its slot holds nobody up', async () => {
    runs = [fakeRun({ status: 'REQUESTED', startedAt: null, pid: null })]
    answer = { __typename: 'StartRunAnswer', run: runs[0] }
    expect(await cli(['run', '--', 'true'])).toEqual({ code: 0, stdout: `${id}\n`, stderr: '' })
  })

  it('[R16] [R40] hands the policy on, of run and of register; what is not said is left to the preset', async () => {
    const options = ['--policy', 'strict', '--stuck-after', '2m', '--on-stuck', 'alert']
    const more = ['--total-timeout', '3h', '--on-total-timeout', 'kill']
    await cli(['run', ...options, ...more, '--', 'agent'])
    const policy = {
      preset: 'STRICT',
      stuckAfterMs: 120_000,
      onStuck: 'ALERT',
      totalTimeoutMs: 10_800_000,
      onTotalTimeout: 'KILL',
    }
    expect(asked[0]).toMatchObject({ policy })
    await cli(['register', '4242', ...options, ...more])
    expect(asked[1]).toEqual({ pid: 4242, policy })
    expect(await cli(['run', '--policy', 'lenient', '--', 'agent'])).toMatchObject({ code: 2 })
  })

  it('[R40] hands every option on', async () => {
    const options = [
      '--workflow',
      'LINA',
      '--temporary',
      '--env',
      'A=1',
      '--env',
      'B=x=y',
      '--secret-env',
      'KEY',
      '--run-as',
      'agent',
    ]
    const more = ['--prompt', 'fix it', '--label', 'team=red', '--grace', '300ms', '--idempotency-key', 'k1']
    await cli(['run', ...options, ...more, '--', 'agent', '--env', 'C=2'])
    expect(asked[0]).toEqual({
      command: ['agent', '--env', 'C=2'],
      workflow: 'LINA',
      workspace: { kind: 'TEMPORARY' },
      env: [
        { name: 'A', value: '1' },
        { name: 'B', value: 'x=y' },
      ],
      secretEnv: ['KEY'],
      runAs: 'agent',
      prompt: 'fix it',
      labels: [{ name: 'team', value: 'red' }],
      policy: { graceMs: 300 },
      idempotencyKey: 'k1',
    })
    await cli(['run', '--cwd', '../else', 'agent', '--cwd', 'its-own'])
    expect(asked[1]).toEqual({ command: ['agent', '--cwd', 'its-own'], workspace: { kind: 'EXISTING', path: '/else' } })
  })

  it('[R40] --follow shows the output, and ends the way the run did', async () => {
    output = ['one\n', 'two\n']
    runs = [
      fakeRun({
        status: 'COMPLETED',
        endedAt: '2026-11-21T03:41:07.000Z',
        rootExit: { status: 0, at: '2026-11-21T03:41:07.000Z' },
      }),
    ]
    const completed = await cli(['run', '--follow', '--', 'true'])
    expect(completed).toMatchObject({ code: 0, stdout: 'one\ntwo\n' })
    expect(completed.stderr).toContain(`${id} ended: COMPLETED (exit status 0)`)
    runs = [
      fakeRun({
        status: 'FAILED',
        endedAt: '2026-11-21T03:41:07.000Z',
        failure: { reason: 'EXIT_STATUS', message: 'It exited with 3.', code: null },
      }),
    ]
    const failed = await cli(['run', '--follow', '--', 'false'])
    expect(failed.code).toBe(1)
    expect(failed.stderr).toContain('It exited with 3.')
  })

  it('[R40] --follow waits for a run that waits for its slot', async () => {
    launchesToWaitFor = 2
    output = ['one\n']
    const logs = await cli(['logs', id, '--follow'])
    expect(logs).toMatchObject({ code: 0, stdout: 'one\n' })
    launchesToWaitFor = 1
    runs = [fakeRun({ status: 'COMPLETED', endedAt: '2026-11-21T03:41:07.000Z' })]
    expect(await cli(['run', '--follow', '--', 'true'])).toMatchObject({ code: 0, stdout: 'one\n' })
  })

  it.each([
    [
      { __typename: 'InvalidInput', message: 'Bad.', issues: [{ path: 'command.0', message: 'is empty' }] },
      2,
      'command.0: is empty',
    ],
    [{ __typename: 'IdempotencyConflict', message: 'Used before.', runId: id }, 5, 'Used before.'],
    [{ __typename: 'StoreUnavailable', message: 'The store is away.' }, 6, 'away'],
    [{ __typename: 'PermissionDenied', message: 'No.' }, 4, 'No.'],
  ])('[R40] a typed failure: %j', async (failure, code, message) => {
    answer = failure
    const result = await cli(['run', '--', 'true'])
    expect(result).toMatchObject({ code, stdout: '' })
    expect(result.stderr).toContain(message)
  })
})

describe('kill', () => {
  const killAnswer = {
    __typename: 'KillRunAnswer',
    success: true,
    runId: id,
    killedAt: killedRun.endedAt,
    cleanupStatus: 'DONE',
    message: `${id} is dead.`,
    joined: false,
    waitExpired: false,
    run: killedRun,
  }
  beforeEach(() => {
    answer = killAnswer
    events = [
      fakeEvent(0, 'RunRequested', 'asked for'),
      fakeEvent(1, 'RunStarted', 'started'),
      fakeEvent(2, 'KillRequested', 'graceful kill asked for'),
      fakeEvent(3, 'SigtermSent', 'SIGTERM sent to 2 processes'),
      fakeEvent(7, 'HeartbeatRecorded', 'a heartbeat'),
      fakeEvent(4, 'SigkillSent', 'SIGKILL sent to 1 process'),
      fakeEvent(5, 'RunKilled', 'proven dead'),
      fakeEvent(6, 'RunCleaned', 'cleaned up'),
    ]
  })

  it('[R4] kills several runs: a receipt for each, and the worst of them is how it ends', async () => {
    const [dead, over, gone] = [id, 'run_aaaaaaaaaaaa', 'run_bbbbbbbbbbbb']
    runs = [fakeRun({ id: dead }), fakeRun({ id: over })]
    const answers: Record<string, object> = {
      [dead]: killAnswer,
      [over]: { __typename: 'AlreadyEnded', message: `${over} has ended as COMPLETED.`, run: fakeRun({ id: over }) },
      [gone]: { __typename: 'RunNotFound', message: `There is no run ${gone}.` },
    }
    answer = ({ runId }: { runId: string }) => answers[runId]
    const both = await cli(['kill', dead, 'aaaa', dead, '--force'])
    expect(both.code).toBe(5)
    expect(both.stdout).toMatch(
      new RegExp(`^${dead}  KILLED .*\\n  .*PROVEN DEAD.*\\n  processes 2, cleanup DONE.*\\n$`),
    )
    expect(both.stderr).toContain(`${dead}: ${dead} is dead.`)
    expect(both.stderr).toContain(`aaaa: ${over} has ended as COMPLETED.`)
    expect(asked.filter((input) => (input as { runId?: string }).runId === dead)).toHaveLength(1)
    const three = await cli(['kill', dead, over, gone, '--json'])
    expect(three.code).toBe(3)
    expect(lines(three.stdout).map((line) => JSON.parse(line).runId)).toEqual([dead])
    expect(three.stderr).toContain(`${gone}: There is no run ${gone}.`)
    expect((await cli(['kill', dead])).code).toBe(0)
    expect((await cli(['kill'])).code).toBe(2)
  })

  it('[R4] an emergency kill takes no beginning of an id: only the event store knows what it means', async () => {
    const { code, stderr } = await cli(['kill', '--emergency', '0123'])
    expect(code).toBe(2)
    expect(stderr).toContain('Give the whole id.')
    expect(asked).toEqual([])
  })

  it('[R4] shows each step as it happens, then a short receipt; 0 means proven dead', async () => {
    const { code, stdout, stderr } = await cli(['kill', id, '--reason', 'stuck'])
    expect(code).toBe(0)
    expect(asked[0]).toEqual({
      runId: id,
      force: false,
      emergency: false,
      reason: 'stuck',
      waitFor: 'CLEANED',
      timeoutMs: 60_000,
    })
    expect(lines(stderr)).toEqual([
      '03:41:09.000  graceful kill asked for',
      '03:41:10.000  SIGTERM sent to 2 processes',
      '03:41:11.000  SIGKILL sent to 1 process',
      '03:41:12.000  proven dead',
      '03:41:13.000  cleaned up',
      `${id} is dead.`,
    ])
    expect(lines(stdout)[0]).toBe(`${id}  KILLED 3.0 s after the request`)
    expect(stdout).toContain('PROVEN DEAD  level cgroup-v2')
  })

  it('[M1] without proof it never ends with 0', async () => {
    const run = fakeRun({
      status: 'KILL_UNVERIFIED',
      killPhase: 'VERIFYING',
      revision: 5,
      receipt: { json: unprovenReceipt },
    })
    answer = { ...killAnswer, success: false, killedAt: null, run, message: 'Not proven.' }
    const { code, stdout } = await cli(['kill', id, '--force'])
    expect(code).toBe(1)
    expect(stdout).toContain('NOT PROVEN  level cgroup-v2: 1 process still there')
    answer = {
      ...killAnswer,
      success: false,
      waitExpired: true,
      run: fakeRun({ status: 'KILLING', revision: 3 }),
      message: 'It goes on.',
    }
    const late = await cli(['kill', id, '--timeout', '1s', '--wait', 'killed'])
    expect(late.code).toBe(124)
    expect(late.stderr).toContain('It goes on.')
    expect(asked.at(-1)).toMatchObject({ waitFor: 'KILLED', timeoutMs: 1000 })
  })

  it('[R40] --wait accepted asks for no proof', async () => {
    answer = {
      ...killAnswer,
      success: false,
      killedAt: null,
      run: fakeRun({ status: 'KILLING', revision: 2 }),
      message: 'Accepted.',
    }
    expect((await cli(['kill', id, '--wait', 'accepted'])).code).toBe(0)
  })

  it('[R40] no such run: 3; already ended: 5, with what it ended as', async () => {
    answer = { __typename: 'RunNotFound', message: 'There is no such run.', runId: 'run_ffffffffffff' }
    expect((await cli(['kill', 'run_ffffffffffff'])).code).toBe(3)
    // It was asked for all the same: the server records every attempt.
    expect(asked).toMatchObject([{ runId: 'run_ffffffffffff' }])
    answer = { __typename: 'AlreadyEnded', message: 'It ended as KILLED.', run: killedRun }
    const ended = await cli(['kill', id])
    expect(ended).toMatchObject({ code: 5, stdout: '' })
    expect(ended.stderr).toBe(`runwarden: It ended as KILLED.\nSee: runwarden show ${id}\n`)
  })

  it('[R40] --json prints the answer, and nothing else on stdout', async () => {
    const { code, stdout } = await cli(['kill', id, '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ success: true, run: { receipt: { json: { proven: true } } } })
  })
})

describe('[M2] canary', () => {
  const result = (changes: object) => ({
    __typename: 'RunCanaryAnswer',
    joined: false,
    result: {
      ...{ runId: id, host: 'host_0123456789ab', trigger: 'REQUEST', requestedBy: { kind: 'TOKEN', id: 'admin' } },
      ...{ startedAt: '2026-11-21T03:41:07.000Z', endedAt: '2026-11-21T03:41:08.000Z', outcome: 'PASSED' },
      ...{ phase: null, message: null, level: 'CGROUP_V2', processes: 3 },
      timings: { readyMs: 40, sigtermMs: 2, sigkillMs: 204, provenMs: 210, answeredMs: 240 },
      ...changes,
    },
  })

  it('says what came of it, and how long each phase took', async () => {
    answer = result({})
    const { code, stdout } = await cli(['canary'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^PASSED\n/)
    for (const said of [id, '+204 ms', '+210 ms', '3 processes, none left']) expect(stdout).toContain(said)
  })

  it.each([
    [1, { outcome: 'FAILED', phase: 'PROOF', message: `left:${esc}[2J pid 7`, level: null }],
    [6, { outcome: 'SKIPPED', message: 'No slot is free; runs come first.', level: null, timings: noTimings }],
  ])('ends with %i, and says why', async (expected, changes) => {
    answer = result(changes)
    const { code, stdout } = await cli(['canary'])
    expect(code).toBe(expected)
    expect(stdout).toContain(changes.message.replace(`${esc}[2J`, ''))
    expect((await cli(['canary', '--json'])).code).toBe(expected)
  })
})

const noTimings = { readyMs: null, sigtermMs: null, sigkillMs: null, provenMs: null, answeredMs: null }

describe('looking', () => {
  it('[R40] ls shows live runs by default, cut to the terminal, without a trace of what a run tries on it', async () => {
    runs = [fakeRun({ lastOutput: `${esc}[2J${esc}]0;owned\u0007an attack that is rather long` })]
    const { code, stdout } = await cli(['ls'], { terminal: 120, env: { NO_COLOR: '1' } })
    expect(code).toBe(0)
    expect(asked[0]).toMatchObject({ filter: { live: true }, first: 50 })
    expect(stdout).not.toContain(esc)
    expect(lines(stdout)[1]).toMatch(/^run_0123456789ab {2}BUILDER {3}RUNNING {2}STUCK .* 4242 {2}an attack/)
    for (const line of lines(stdout)) expect(line.length).toBeLessThanOrEqual(120)
  })

  it('[R40] ls says of an ended run how long it ran, and when that was over', async () => {
    const ended = (startedAt: string | null, endedAt: string) => fakeRun({ status: 'FAILED', startedAt, endedAt })
    const ago = (ms: number) => new Date(Date.now() - ms).toISOString()
    runs = [fakeRun({ startedAt: ago(180_000) }), ended(ago(7_212_000), ago(7_200_000)), ended(null, ago(60_000))]
    const { stdout } = await cli(['ls', '--all'])
    expect(lines(stdout)[1]).toMatch(/ 3 min /)
    expect(lines(stdout)[2]).toMatch(/ ran 12 s, ended 2 h ago /)
    expect(lines(stdout)[3]).toMatch(/ never ran, ended 1 min ago /)
  })

  it('[R40] ls --label asks for runs with all of these labels', async () => {
    await cli(['ls', '--label', 'team=red', '--label', 'pr=a=b'])
    expect(asked[0]).toMatchObject({
      filter: {
        labels: [
          { name: 'team', value: 'red' },
          { name: 'pr', value: 'a=b' },
        ],
      },
    })
    expect((await cli(['ls', '--label', 'red'])).code).toBe(2)
  })

  it('[R40] a run is named by how its id begins, where that is unique', async () => {
    runs = ['run_0123456789ab', 'run_01234aaaaaaa', 'run_ffffffffffff'].map((id) => fakeRun({ id }))
    for (const name of ['ffff', 'run_fffff', 'ffffffffffff', 'run_ffffffffffff']) {
      expect((await cli(['show', name])).stdout, name).toContain('run_ffffffffffff')
    }
    const ambiguous = await cli(['show', '01234'])
    expect(ambiguous).toMatchObject({ code: 2, stdout: '' })
    expect(ambiguous.stderr).toContain('More than one run begins with run_01234: run_0123456789ab, run_01234aaaaaaa.')
    expect((await cli(['watch', 'ffff', '01234'])).code).toBe(2)
    const none = await cli(['show', 'eeee'])
    expect(none).toMatchObject({ code: 3, stdout: '' })
    expect(none.stderr).toContain('There is no run whose id begins with run_eeee.')
    for (const name of ['fff', 'gggg', 'run_']) expect((await cli(['show', name])).code, name).toBe(3)
  })

  it('[R40] ls colours the status on a terminal only, and says it in words everywhere', async () => {
    expect((await cli(['ls'], { terminal: 200 })).stdout).toContain(`${esc}[32mRUNNING${esc}[39m`)
    expect((await cli(['ls'])).stdout).not.toContain(esc)
    expect((await cli(['ls'], { terminal: 200, env: { TERM: 'dumb' } })).stdout).not.toContain(esc)
  })

  it('[R40] ls follows the pages, says when there is more, and prints JSON line by line', async () => {
    runs = Array.from({ length: 700 }, (_, index) => fakeRun({ id: `run_${String(index).padStart(12, '0')}` }))
    const { stdout, stderr } = await cli(['ls', '--all', '--limit', '600', '--json'])
    expect(lines(stdout)).toHaveLength(600)
    expect(JSON.parse(lines(stdout)[599] as string).id).toBe('run_000000000599')
    expect(asked.map((args) => [args.first, args.filter])).toEqual([
      [500, { canary: false }],
      [100, { canary: false }],
    ])
    expect(stderr).toContain('There are more')
    await cli(['ls', '--status', 'KILLED', 'FAILED', '--workflow', 'LINA'])
    expect(asked.at(-1)?.filter).toEqual({ status: ['KILLED', 'FAILED'], workflow: 'LINA' })
  })

  it('[R40] show tells a stuck run in ten seconds, and a dead one with its whole proof', async () => {
    const stuck = await cli(['show', id])
    expect(stuck).toMatchObject({ code: 0, stderr: '' })
    expect(stuck.stdout).toContain('STUCK: No turn in 41 min.')
    expect(stuck.stdout).toContain('initialization, 0 turns, cache reads 93.6 %')
    runs = [killedRun]
    const dead = (await cli(['show', id])).stdout
    for (const part of [
      'PROVEN DEAD',
      'SIGKILL        +3.0 s',
      'passed  cgroup-empty: populated 0',
      'not covered',
      'ignores-sigterm',
    ]) {
      expect(dead).toContain(part)
    }
    const receipt = await cli(['show', id, '--receipt', '--json'])
    expect(receipt.code).toBe(0)
    expect(JSON.parse(receipt.stdout)).toMatchObject({ proven: true, runId: id })
  })

  it('[R10] show tells that the kernel killed it for memory', async () => {
    runs = [fakeRun({ outOfMemory: { message: 'its cgroup hit memory.max (512.0 MiB), 1 process OOM-killed' } })]
    const { stdout } = await cli(['show', id])
    expect(stdout).toMatch(/memory +out of memory: its cgroup hit memory\.max \(512\.0 MiB\), 1 process OOM-killed/)
  })

  it('[R16] show tells under which thresholds it lives, what people were alerted to, and what it was restarted as', async () => {
    alerts = [fakeAlert({ message: `no turn${esc}[2J` })]
    runs = [
      fakeRun({ restartOf: { id: 'run_00000000000a', status: 'KILLED' }, restart: { newRunId: 'run_00000000000b' } }),
    ]
    const { stdout } = await cli(['show', id])
    expect(asked).toContainEqual({ open: true, runId: id, first: 50 })
    expect(stdout).toContain('STUCK: no turn')
    expect(stdout).not.toContain(esc)
    expect(stdout).toMatch(/in place of +run_00000000000a \(KILLED\)/)
    expect(stdout).toMatch(/restart as +run_00000000000b, once this one is proven dead/)
    expect(stdout).toMatch(
      /policy +standard, grace 10 s, defers a kill 1 min at most, slow after 5 min, .*stuck after 40 min: alert, total /,
    )
  })

  it('[R10] alerts: one about a host has no run', async () => {
    alerts = [fakeAlert({ kind: 'LOW_DISK', runId: null, workflow: null, message: 'Only 1.0 GiB free.' })]
    const { stdout } = await cli(['alerts'])
    expect(lines(stdout)[1]).toMatch(/CRITICAL +LOW_DISK +- +- +open +Only 1\.0 GiB free\.$/)
  })

  it('[R16] alerts: a table, JSON, and only what was asked for', async () => {
    alerts = [
      fakeAlert({ workflow: `LINA${esc}[2J` }),
      fakeAlert({
        kind: 'TOTAL_TIMEOUT',
        severity: 'WARNING',
        resolvedAt: '2026-11-21T04:00:00.000Z',
        why: 'It ended.',
      }),
    ]
    const open = await cli(['alerts'])
    expect(open).toMatchObject({ code: 0, stderr: '' })
    expect(open.stdout).not.toContain(esc)
    expect(lines(open.stdout).map((line) => line.replace(/ +/g, ' ').slice(0, 60))).toEqual([
      'SINCE SEVERITY KIND RUN WORKFLOW UNTIL MESSAGE',
      expect.stringMatching(/^2026-11-21T03:40:00.000Z CRITICAL STUCK run_0123456789ab/),
      expect.stringMatching(/^2026-11-21T03:40:00.000Z WARNING TOTAL_TIMEOUT run_/),
    ])
    expect(asked.at(-1)).toMatchObject({ open: true, first: 50 })
    const json = await cli(['alerts', '--all', '--run', id, '--limit', '1', '--json'])
    expect(asked.at(-1)).toEqual({ runId: id, first: 1, after: null })
    expect(lines(json.stdout).map((line) => JSON.parse(line).kind)).toEqual(['STUCK'])
    expect((await cli(['alerts', '--follow', '--all'])).code).toBe(2)
    expect((await cli(['alerts', '--limit', '0'])).code).toBe(2)
  })

  it('[M1] show says what stands in the way of a proof', async () => {
    runs = [fakeRun({ status: 'KILL_UNVERIFIED', receipt: { json: unprovenReceipt } })]
    const { code, stdout } = await cli(['show', id, '--receipt'])
    expect(code).toBe(1)
    expect(stdout).toContain('NOT PROVEN')
    expect(stdout).toContain('ALIVE D in nfs_wait_bit_killable')
    expect(stdout).toContain('FAILED  cgroup-empty')
    expect(stdout).toContain('not possible here  no-marker')
  })

  it('[R40] show: no receipt yet, no such run', async () => {
    expect((await cli(['show', id, '--receipt'])).code).toBe(1)
    expect((await cli(['show', 'run_ffffffffffff'])).code).toBe(3)
  })

  it('[R40] events: a readable line each, or JSON with a cursor; the same when followed', async () => {
    runs = [killedRun]
    events = [fakeEvent(0, 'RunRequested', `asked for${esc}[2J`), fakeEvent(1, 'RunStarted', 'started')]
    expect((await cli(['events', id])).stdout).toBe(
      '2026-11-21T03:41:07.000Z  RunRequested          asked for\n2026-11-21T03:41:08.000Z  RunStarted            started\n',
    )
    const json = await cli(['events', id, '--json'])
    expect(JSON.parse(lines(json.stdout)[1] as string)).toMatchObject({ cursor: 'c1', type: 'RunStarted', revision: 1 })
    expect((await cli(['events', id, '--follow', '--json'])).stdout).toBe(json.stdout)
    for (const follow of [[], ['--follow']]) expect((await cli(['events', 'run_ffffffffffff', ...follow])).code).toBe(3)
  })

  it('[R41] events: what only a newer server knows is shown as it is', async () => {
    runs = [killedRun]
    const data = { to: `mars${esc}[2J` }
    events = [{ ...fakeEvent(0, 'RunTeleported', 'RunTeleported v3, unknown'), version: 3, data, isKnown: false }]
    expect((await cli(['events', id])).stdout).toContain('RunTeleported v3, unknown: {"to":"mars\\u001b[2J"}\n')
  })

  it('[R40] logs: the bytes as they are into a pipe, harmless on a terminal', async () => {
    output = [`${esc}[32mgreen${esc}[0m `, `${esc}]0;owned\u0007${esc}[2Jend\n`]
    for (const follow of [[], ['--follow']]) {
      expect((await cli(['logs', id, ...follow])).stdout).toBe(output.join(''))
      const terminal = (await cli(['logs', id, ...follow], { terminal: 80 })).stdout
      expect(terminal).toBe(`${esc}[32mgreen${esc}[0m end\n${esc}[0m`)
    }
    expect((await cli(['logs', id, '--raw'], { terminal: 80 })).stdout).toBe(output.join(''))
    expect((await cli(['logs', id], { terminal: 80, env: { NO_COLOR: '1' } })).stdout).toBe('green end\n')
    expect((await cli(['logs', 'run_ffffffffffff'])).code).toBe(3)
  })

  it('[R40] [R41] store stats: what is there, and what the engine cannot tell', async () => {
    const told = (await cli(['store', 'stats'])).stdout
    expect(told).toMatch(/engine +PostgreSQL 18\.4\n/)
    expect(told).toMatch(/events +1,234,567\n/)
    expect(told).toMatch(/retired +1,000, removed by retention\n/)
    expect(told).toMatch(/on disk +2\.5 GiB\n/)
    expect(told).toMatch(/appended +0\.25 a second, in the last minute\n/)
    expect(told).toMatch(/telemetry +12 +1,234,000 +1,000\n/)
    const json = (await cli(['store', 'stats', '--json'])).stdout
    expect(JSON.parse(json)).toEqual(storeStats)
    storeStats = { ...storeStats, engine: 'KURRENTDB', version: null, bytesOnDisk: null, streams: null, oldestAt: null }
    const less = (await cli(['store', 'stats'])).stdout
    expect(less).toMatch(/engine +KurrentDB\n/)
    expect(less).toMatch(/on disk +unknown to this engine\n/)
    expect(less).not.toContain('STREAMS')
  })

  it('[R40] audit, hosts, projections, register', async () => {
    const audit = await cli(['audit', id])
    expect(audit.stdout).toContain('token admin')
    expect(audit.stdout).toMatch(/killRun +run_0123456789ab +denied +- +no right/)
    expect((await cli(['hosts'])).stdout).toContain('2 of 16, 1 waiting  cgroup-v2  cgroup.kill is there')
    const status = await cli(['projections', 'status'])
    expect(status.stdout).toMatch(/runs +running +12 +0/)
    expect(status.stdout).toContain('alerts has stopped at event 7; the others go on.')
    expect(status.stdout).toContain('runwarden projections skip alerts 7')
    expect(status.stdout).toContain(
      'alerts may pass over event 5 (AlertRaised of alert-x), by token admin, 2026-11-21T03:41:07.000Z: old.',
    )
    answer = {
      __typename: 'RebuildProjectionsAnswer',
      projections: [{ name: 'runs', events: 12, durationMs: 40, passedOver: 0 }],
    }
    expect((await cli(['projections', 'rebuild', 'runs'])).stdout).toBe('runs: 12 events in 40 ms\n')
    answer = { __typename: 'UnknownProjection', message: 'There is no "rums".', known: ['runs'] }
    expect((await cli(['projections', 'rebuild', 'rums'])).code).toBe(3)
    const skip = { position: 7, type: 'AlertRaised', stream: 'alert-x' }
    const projection = {
      name: 'alerts',
      version: 1,
      state: 'running',
      position: 12,
      lag: 0,
      error: null,
      failure: null,
      skips: [],
    }
    answer = { __typename: 'SkipProjectionEventAnswer', projection, skip }
    const skipped = await cli(['projections', 'skip', 'alerts', '7', '--reason', 'known'])
    expect(skipped.stdout).toBe('alerts passes over event 7 (AlertRaised of alert-x).\nIt is running at 12.\n')
    expect(asked.at(-1)).toEqual({ name: 'alerts', position: 7, reason: 'known' })
    answer = { __typename: 'ProjectionNotStopped', message: 'It has not stopped there.' }
    expect((await cli(['projections', 'skip', 'alerts', '8'])).code).toBe(5)
    expect((await cli(['projections', 'skip', 'alerts', 'last'])).code).toBe(2)
    answer = { __typename: 'RegisterProcessAnswer', run: fakeRun() }
    expect((await cli(['register', '4242', '--workspace', 'w', '--workflow', 'BRAIN'])).stdout).toBe(`${id}\n`)
    expect(asked.at(-1)).toEqual({ pid: 4242, workspacePath: '/somewhere/w', workflow: 'BRAIN' })
  })
})
