import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Claim, claimDataDirectory, type Owner, readOwner } from '../../../src/os/ownership.ts'
import { machineIdentity } from '../../../src/os/process-identity.ts'
import { type Program, type ProgramOptions, startProgram } from '../../support/program.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const isRoot = process.getuid?.() === 0
const otherNetwork = { within: ['unshare', '--net'] }
const otherPidsAndNetwork = { within: ['unshare', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'] }

describe('[R14] one owner of a data directory', () => {
  let directory: ReturnType<typeof makeTemporaryDirectory>
  let programs: Program[]

  beforeEach(() => {
    directory = makeTemporaryDirectory()
    programs = []
  })
  afterEach(async () => {
    await Promise.all(programs.map((program) => program.end('SIGKILL')))
    directory.remove()
  })

  async function startOwner(args: string[] = [], options?: ProgramOptions): Promise<[Program, Claim]> {
    const program = startProgram('owner.ts', [directory.path, ...args], options)
    programs.push(program)
    return [program, await program.next()]
  }
  async function startLastingOwner(options?: ProgramOptions): Promise<Program> {
    const [program, claim] = await startOwner([], options)
    expect(claim).toEqual({ ok: true })
    expect(await program.next()).toEqual({ url: true })
    return program
  }

  it('refuses a second one and names the first', async () => {
    const first = await startLastingOwner()
    const claim = await claimDataDirectory(directory.path)
    expect(claim).toMatchObject({ ok: false, reason: 'OWNED', by: { identity: { pid: first.pid } } })
    expect(!claim.ok && claim.message).toMatch(
      `pid ${first.pid}, http://127.0.0.1:4680, since ${new Date().getUTCFullYear()}`,
    )
    expect(await readOwner(directory.path)).toMatchObject({ alive: true, url: 'http://127.0.0.1:4680' })
  })

  it('does not take a dead predecessor for one that has not yet written who it is', async () => {
    await startLastingOwner()
    const record = JSON.parse(readFileSync(join(directory.path, 'owner.json'), 'utf8'))
    record.identity.startTime = '1'
    writeFileSync(join(directory.path, 'owner.json'), JSON.stringify(record))
    const claim = await claimDataDirectory(directory.path)
    expect(claim).toMatchObject({ ok: false, reason: 'OWNED', by: undefined })
    expect(!claim.ok && claim.message).toContain('just starting')
  })

  it('lets exactly one of many that start at once have it', async () => {
    const claims = await Promise.all([1, 2, 3, 4].map(() => startOwner()))
    expect(claims.filter(([, claim]) => claim.ok)).toHaveLength(1)
  })

  it('is free after kill -9 of its owner', async () => {
    const first = await startLastingOwner()
    await first.end('SIGKILL')
    expect(await readOwner(directory.path)).toMatchObject({ alive: false, identity: { pid: first.pid } })
    await startLastingOwner()
  })

  it('is free after its owner released it, with nothing left in it', async () => {
    const first = await startLastingOwner()
    await first.end('SIGTERM')
    expect(await readOwner(directory.path)).toBeUndefined()
    expect(['owner.json', 'owner.sock'].filter((name) => existsSync(join(directory.path, name)))).toEqual([])
    await startLastingOwner()
  })

  it.skipIf(!isRoot)('refuses an owner in another network namespace, unless told to take over', async () => {
    const first = await startLastingOwner(otherNetwork)
    const claim = await claimDataDirectory(directory.path)
    expect(claim).toMatchObject({
      ok: false,
      reason: 'OWNED_IN_OTHER_NAMESPACE',
      by: { identity: { pid: first.pid } },
      message: expect.stringContaining('--take-over'),
    })
    const [, taken] = await startOwner(['--take-over'])
    expect(taken).toEqual({ ok: true })
    await first.end('SIGTERM')
    expect(await readOwner(directory.path), 'the first one leaves what is no longer its own').toMatchObject({
      alive: true,
    })
  })

  it.skipIf(!isRoot)('knows a live owner in another pid namespace from a dead one', async () => {
    const first = await startLastingOwner(otherPidsAndNetwork)
    expect(await claimDataDirectory(directory.path)).toMatchObject({ reason: 'OWNED_IN_OTHER_NAMESPACE' })
    await first.end('SIGKILL')
    await expect.poll(async () => (await readOwner(directory.path))?.alive, { timeout: 20_000 }).toBe(false)
    await startLastingOwner()
  })

  it('refuses where the owner cannot be asked: another pid namespace, and no socket', async () => {
    const owner: Owner = {
      identity: { ...machineIdentity(), pid: 7, startTime: '1', pidNamespace: '1' },
      networkNamespace: '1',
      startedAt: '2026-11-01T00:00:00.000Z',
      socket: false,
    }
    writeFileSync(join(directory.path, 'owner.json'), JSON.stringify(owner))
    expect(await claimDataDirectory(directory.path)).toMatchObject({ reason: 'OWNED_IN_OTHER_NAMESPACE', by: owner })
    writeFileSync(
      join(directory.path, 'owner.json'),
      JSON.stringify({ ...owner, identity: { ...owner.identity, bootId: 'before the machine was started again' } }),
    )
    await startLastingOwner()
  })

  it.skipIf(!isRoot)('[R10] is claimed again after a crash on a disk that is full now', async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'runwarden-test', directory.path])
    try {
      const first = await startLastingOwner()
      await first.end('SIGKILL')
      fill(join(directory.path, 'filler'))
      const second = await startLastingOwner()
      expect(await readOwner(directory.path)).toMatchObject({ alive: true, identity: { pid: second.pid } })
      await second.end('SIGKILL')
    } finally {
      execFileSync('umount', ['--lazy', directory.path])
    }
  })

  it('takes a damaged record for none', async () => {
    writeFileSync(join(directory.path, 'owner.json'), '{"identity":')
    await startLastingOwner()
  })
})

function fill(path: string): void {
  expect(() => {
    for (;;) appendFileSync(path, Buffer.alloc(1024))
  }).toThrow('ENOSPC')
}
