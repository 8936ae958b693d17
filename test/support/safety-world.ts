import { accessSync, chownSync, constants, mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import { openCgroupBase, removeCgroupBase } from '../../src/host/cgroup.ts'
import { killThoseOf } from './host-world.ts'
import { makeServerDirectory, markedProcesses, startTestServer, type TestServer } from './server.ts'
import { waitUntil } from './wait-until.ts'

/** How runs are kept apart from the rest of the machine; each proves as much as it can. */
export const isolations = ['cgroup v2', 'delegated cgroup v2', 'no cgroups'] as const
export type Isolation = (typeof isolations)[number]

/** Where root hands a subtree to an account that may do nothing else. */
const nobody = 65_534

/** Why this machine cannot give it; undefined: it can. */
export async function whyNot(isolation: Isolation): Promise<string | undefined> {
  if (isolation === 'no cgroups') return undefined
  const base = await cgroupOfTests()
  if (base === undefined) return 'no cgroup v2 that a process can be moved in'
  if (isolation === 'cgroup v2') return undefined
  if (process.getuid?.() !== 0) return 'only root can hand a subtree to another account'
  return isReachable(process.execPath) && isReachable(import.meta.filename)
    ? undefined
    : `uid ${nobody} cannot read the project`
}

/** Every directory on the way lets others pass, and the file itself be read. */
function isReachable(path: string): boolean {
  for (let at = dirname(path); at !== '/'; at = dirname(at)) if ((statSync(at).mode & 0o005) === 0) return false
  accessSync(path, constants.R_OK)
  return (statSync(path).mode & 0o004) !== 0
}

/** The cgroup of this very process. */
async function cgroupOfTests(): Promise<string | undefined> {
  const scratch = makeServerDirectory()
  try {
    const found = await openCgroupBase(scratch.path)
    if (!found.ok) return undefined
    removeCgroupBase(found.base)
    return dirname(found.base)
  } finally {
    await scratch.remove()
  }
}

export type SafetyWorld = Awaited<ReturnType<typeof openSafetyWorld>>

/** A server of the default profile on a directory of its own, and what every safety test asks of it. */
export async function openSafetyWorld(isolation: Isolation) {
  const directory = makeServerDirectory()
  const delegated = isolation === 'delegated cgroup v2' ? await delegate(`rw-test-${process.pid}`) : undefined
  /** What the runs work on; theirs, whatever account they have. */
  const scratch = join(directory.path, 'scratch')
  const uid = delegated === undefined ? (process.getuid?.() ?? 0) : nobody
  for (const path of [scratch, join(directory.path, 'tmp')]) mkdirSync(path, { mode: 0o711 })
  for (const path of [directory.path, scratch, join(directory.path, 'tmp')]) chownSync(path, uid, uid)
  const server: TestServer = await startTestServer({
    dataDirectory: join(directory.path, 'data'),
    env: {
      ...(isolation === 'no cgroups' ? { RUNWARDEN_CGROUPS: 'off' } : {}),
      ...(delegated === undefined ? {} : { HOME: directory.path, TMPDIR: join(directory.path, 'tmp') }),
    },
    within: delegated === undefined ? [] : ['sh', '-c', enter, delegated, 'setpriv', ...dropTo(nobody)],
  })

  const { ask } = server

  async function start(command: string[], more: object = {}): Promise<string> {
    const { startRun } = await ask(
      'mutation ($input: StartRunInput!) { startRun(input: $input) { ... on Problem { message } ... on StartRunAnswer { run { id } } } }',
      { input: { command, ...more } },
    )
    expect(startRun.message).toBeUndefined()
    return startRun.run.id
  }

  const kill = async (input: object) => (await ask(killDocument, { input })).killRun
  const run = async (id: string) => (await ask(runDocument, { id })).run
  const types = async (id: string): Promise<string[]> =>
    (await ask(eventsDocument, { id })).runEvents.edges.map(({ node }: { node: { type: string } }) => node.type)

  /** Of the process table, not of what the API says. */
  const expectGone = (id: string) =>
    expect(markedProcesses(id), 'live processes with the marker of the run').toEqual([])

  async function killed(id: string, input: object = {}) {
    const answer = await kill({ runId: id, ...input })
    expect(answer, JSON.stringify(answer) + server.output()).toMatchObject({
      ...{ __typename: 'KillRunAnswer', success: true, cleanupStatus: 'DONE' },
      run: { status: 'KILLED', receipt: { proven: true } },
    })
    expectGone(id)
    return answer
  }

  return {
    isolation,
    server,
    scratch,
    uid,
    ask,
    start,
    kill,
    killed,
    run,
    types,
    expectGone,
    /** Of the account that runs have. */
    give: (path: string) => chownSync(path, uid, uid),
    waitFor: (condition: () => boolean | Promise<boolean>, what: string) =>
      waitUntil(condition, what, 20_000, server.output),
    async close() {
      await server.stop()
      // Of a test that failed.
      killThoseOf(directory.path)
      await directory.remove()
      if (delegated !== undefined) removeDelegated(delegated)
    },
  }
}

const enter = 'echo 0 >"$0/cgroup.procs" && exec "$@"'
const dropTo = (id: number) => [`--reuid=${id}`, `--regid=${id}`, '--clear-groups', '--no-new-privs']

/** As `systemd-run --user --scope -p Delegate=yes` does: the directory and the files that rule it, and no more. */
async function delegate(name: string): Promise<string> {
  const path = join((await cgroupOfTests()) ?? '', name)
  mkdirSync(path)
  for (const file of ['', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control'])
    chownSync(join(path, file), nobody, nobody)
  return path
}

function removeDelegated(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeDelegated(join(path, entry.name))
  rmdirSync(path)
}

const killDocument = `mutation ($input: KillRunInput!) { killRun(input: $input) {
  __typename
  ... on Problem { message }
  ... on KillRunAnswer { success joined killedAt cleanupStatus message run { id status receipt { proven json } } }
  ... on AlreadyEnded { run { id status } }
} }`
const runDocument = `query ($id: ID!) { run(id: $id) {
  id status pid lastOutput endedAt receipt { proven json } cleanup { status } rootExit { status }
} }`
const eventsDocument = 'query ($id: ID!) { runEvents(id: $id, first: 500) { edges { node { type } } } }'
