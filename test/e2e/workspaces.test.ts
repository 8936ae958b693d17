import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { git, makeRepository } from '../support/git-repository.ts'
import { databaseUrlOf, makeServerDirectory, startTestServer, type TestServer } from '../support/server.ts'
import { makeTemporaryDirectory } from '../support/temporary-directory.ts'
import { waitUntil } from '../support/wait-until.ts'

const directory = makeServerDirectory()
const temporary = makeTemporaryDirectory()
let database: TestDatabase
let server: TestServer

beforeAll(async () => {
  database = await createTestDatabase()
  server = await startTestServer({ dataDirectory: directory.path, env: { DATABASE_URL: databaseUrlOf(database) } })
})
afterAll(async () => {
  await server?.stop()
  temporary.remove()
  await directory.remove()
  await database?.drop()
})

const ask = (document: string, variables: object) => server.ask(document, variables)

const runFields = `id status workspacePath workspace { kind path repository branch } failure { code }
  salvage { path branch head patchBytes files leftOutCount leftOut { path reason } keep } cleanup { status }`
const runOf = async (id: string) => (await ask(`query ($id: ID!) { run(id: $id) { ${runFields} } }`, { id })).run

it('[M6] [R8] [R2] a restart in a new worktree of the same branch: commits stay, the rest is in the bundle', async () => {
  const repository = makeRepository(join(temporary.path, 'repository'))
  const script = `git -c user.name=Ada -c user.email=a@b commit -q --allow-empty -m "of $RUNWARDEN_RUN_ID"
    echo two >a.txt; echo new >untracked; echo "$RUNWARDEN_RUN_ID" >began; exec sleep 1000`
  const workspace = { kind: 'GIT_WORKTREE', repository, branch: 'feature/7' }
  const { startRun } = await ask(
    'mutation ($input: StartRunInput!) { startRun(input: $input) { ... on StartRunAnswer { run { id } } } }',
    { input: { command: ['sh', '-c', script], workspace } },
  )
  const oldId: string = startRun.run.id
  const began = (id: string) => existsSync(join(directory.path, 'host/workspaces', id, 'began'))
  await waitUntil(() => began(oldId), 'the run to work', 30_000, server.output)

  const { restartRun } = await ask(
    'mutation ($input: RestartRunInput!) { restartRun(input: $input) { ... on RestartRunAnswer { newRunId } } }',
    { input: { runId: oldId } },
  )
  const newId: string = restartRun.newRunId
  await waitUntil(() => began(newId), 'the new run to work', 30_000, server.output)
  const ended = await waitUntil(async () => {
    const run = await runOf(oldId)
    return run.cleanup.status === 'DONE' && run
  }, 'the cleanup of the old run')
  expect(ended).toMatchObject({
    ...{ status: 'KILLED', workspace: { ...workspace, path: null } },
    salvage: { branch: 'feature/7', files: 2, leftOutCount: 0, leftOut: [], keep: null },
  })
  expect(readFileSync(join(ended.salvage.path, 'changes.patch'), 'utf8')).toContain('+two')
  expect(existsSync(ended.workspacePath)).toBe(false)
  const { killRun } = await ask(
    `mutation ($input: KillRunInput!) { killRun(input: $input) { ... on KillRunAnswer { run { ${runFields} } } } }`,
    { input: { runId: newId, force: true } },
  )
  expect(killRun.run).toMatchObject({
    cleanup: { status: 'DONE' },
    salvage: { head: git(repository, 'rev-parse', 'feature/7') },
  })
  expect(git(repository, 'log', '--format=%s', 'feature/7').split('\n')).toEqual([
    `of ${newId}`,
    `of ${oldId}`,
    'first',
  ])
  expect(git(repository, 'worktree', 'list').split('\n')).toHaveLength(1)
  expect(git(repository, 'fsck', '--strict')).toBe('')
})

it('[R8] a repository that cannot be used is a failed run that says why', async () => {
  const { startRun } = await ask(
    'mutation ($input: StartRunInput!) { startRun(input: $input) { ... on StartRunAnswer { run { id } } } }',
    { input: { command: ['true'], workspace: { kind: 'GIT_WORKTREE', repository: '/nowhere/at/all' } } },
  )
  const run = await waitUntil(async () => {
    const found = await runOf(startRun.run.id)
    return found.cleanup.status === 'DONE' && found
  }, 'the end of the run')
  expect(run).toMatchObject({ status: 'FAILED', failure: { code: 'REPOSITORY_UNUSABLE' }, salvage: null })
})
