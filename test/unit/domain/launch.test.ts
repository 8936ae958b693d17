import { describe, expect, it } from 'vitest'
import { launchSpecSchema } from '../../../src/domain/launch.ts'
import { runEventSchemas } from '../../../src/domain/run-events.ts'

const valid = { command: ['node', 'agent.mjs'] }
const argumentBytesMax = 131_071

/** `[path, message]` of everything that is wrong with it. */
function issues(input: unknown): [string, string][] {
  const parsed = launchSpecSchema.safeParse(input)
  return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => [path.join('.'), message])
}

describe('what a host is asked to launch', () => {
  it('needs a command only', () => {
    expect(launchSpecSchema.parse(valid)).toEqual({
      driver: 'command',
      command: ['node', 'agent.mjs'],
      workspace: { kind: 'TEMPORARY' },
      env: {},
      secretEnv: [],
    })
  })

  it('may say everything', () => {
    const full = {
      driver: 'command',
      command: ['claude', '-p', ''],
      workspace: { kind: 'EXISTING', path: '/srv/work' },
      env: { LANG: 'C.UTF-8', EMPTY: '' },
      secretEnv: ['API_KEY'],
      runAs: 'agent-1',
      prompt: 'Fix it.\nThen test it. ü',
    }
    expect(launchSpecSchema.parse(full)).toEqual(full)
    expect(launchSpecSchema.parse(JSON.parse(JSON.stringify(full)))).toEqual(full)
  })

  it.each<[string, unknown, string, RegExp]>([
    ['no command', {}, 'command', /expected array/],
    ['a command line instead of an argv', { command: 'sleep 1' }, 'command', /expected array/],
    ['an empty argv', { command: [] }, 'command', /is empty/],
    ['an empty executable', { command: ['', 'x'] }, 'command', /names an empty executable/],
    ['an argument that is no text', { command: ['sleep', 1] }, 'command.1', /expected string/],
    ['a NUL byte', { command: ['echo', 'a\0b'] }, 'command.1', /NUL byte/],
    ['a huge argv', { command: Array(4_097).fill('x') }, 'command', /more than 4,096 arguments/],
    ['an argument of 128 KiB', { command: ['x', 'a'.repeat(argumentBytesMax + 1)] }, 'command.1', /131,071 bytes/],
    ['that many bytes in fewer characters', { command: ['x', 'ü'.repeat(65_536)] }, 'command.1', /131,071 bytes/],
    ['1 MiB in all', { command: Array(9).fill('a'.repeat(argumentBytesMax)) }, 'command', /1 MiB in all/],
    ['a relative workspace', { workspace: { kind: 'EXISTING', path: 'work' } }, 'workspace.path', /absolute path/],
    ['a home-relative workspace', { workspace: { kind: 'EXISTING', path: '~/work' } }, 'workspace.path', /absolute/],
    ['a NUL byte in the path', { workspace: { kind: 'EXISTING', path: '/a\0' } }, 'workspace.path', /NUL/],
    ['no path for EXISTING', { workspace: { kind: 'EXISTING' } }, 'workspace.path', /expected string/],
    ['a path for TEMPORARY', { workspace: { kind: 'TEMPORARY', path: '/x' } }, 'workspace', /Unrecognized key: "path"/],
    ['an unknown workspace', { workspace: { kind: 'CONTAINER' } }, 'workspace.kind', /Invalid/],
    ['no repository', { workspace: { kind: 'GIT_WORKTREE' } }, 'workspace.repository', /expected string/],
    ...['', '-b', 'a..b', 'a b', 'a.lock', 'a/', '.a', 'a~1', 'HEAD', 'a\nb', 'a/.b', '@{u}'].map(
      (branch) =>
        [
          `the branch ${JSON.stringify(branch)}`,
          { workspace: { kind: 'GIT_WORKTREE', repository: '/r', branch } },
          'workspace.branch',
          /branch/,
        ] as [string, unknown, string, RegExp],
    ),
    ['a reserved variable', { env: { RUNWARDEN_RUN_ID: 'run_1' } }, 'env.RUNWARDEN_RUN_ID', /RUNWARDEN_/],
    ['a reserved secret', { secretEnv: ['RUNWARDEN_TOKEN'] }, 'secretEnv.0', /starts with RUNWARDEN_/],
    ['a variable that is no name', { env: { 'A=B': 'x' } }, 'env.A=B', /variable name/],
    ['a NUL byte in a value', { env: { A: '\0' } }, 'env.A', /NUL byte/],
    ['an account that is no name', { runAs: 'root; rm' }, 'runAs', /is no account name/],
    ['an option as an account', { runAs: '-u' }, 'runAs', /is no account name/],
    ['a NUL byte in the prompt', { prompt: '\0' }, 'prompt', /NUL byte/],
    ['a huge prompt', { prompt: 'a'.repeat(120_001) }, 'prompt', /120,000 bytes/],
    ['another driver', { driver: 'docker' }, 'driver', /Invalid input/],
    ['unknown keys', { comand: ['x'] }, '', /Unrecognized key: "comand"/],
  ])('%s is an issue that says where and what', (what, changes, path, message) => {
    const input = what === 'no command' ? changes : { ...valid, ...(changes as object) }
    expect(issues(input)).toContainEqual([path, expect.stringMatching(message)])
  })

  it.each([undefined, null, 7, 'sleep', [], ['sleep']])('%j is no launch at all, and an issue', (input) => {
    expect(issues(input)).toHaveLength(1)
  })

  it('accepts the largest argument that Linux does', () => {
    expect(issues({ command: ['x', 'a'.repeat(argumentBytesMax)] })).toEqual([])
    expect(issues({ command: Array(4_096).fill('x') })).toEqual([])
  })

  it('counts the name into the size of a variable, as Linux does', () => {
    expect(issues({ ...valid, env: { A: 'a'.repeat(argumentBytesMax - 2) } })).toEqual([])
    expect(issues({ ...valid, env: { A: 'a'.repeat(argumentBytesMax - 1) } })).toEqual([
      ['env.A', expect.stringMatching(/131,071 bytes, its name included/)],
    ])
  })

  it('bounds the environment, which shares a limit with the command', () => {
    const env = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`V${i}`, 'a'.repeat(100_000)]))
    expect(issues({ ...valid, env })).toEqual([['env', expect.stringMatching(/512 KiB in all/)]])
  })

  it('cannot be used to reach into Object.prototype', () => {
    const hostile = JSON.parse('{"command":["x"],"env":{"__proto__":"polluted"}}')
    launchSpecSchema.safeParse(hostile)
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})

describe('labels', () => {
  const labels = runEventSchemas.RunRequested.shape.labels
  it('are bounded', () => {
    const many = Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`l${i}`, '']))
    expect(labels.safeParse(many).error?.issues[0]?.message).toBe('has more than 50 labels')
    expect(labels.safeParse({ '': 'x' }).success).toBe(false)
    expect(labels.safeParse({ a: 'x'.repeat(501) }).success).toBe(false)
  })
})
