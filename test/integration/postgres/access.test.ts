import { chownSync, mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { chooseSocketDirectory, makeSocketDirectory } from '../../../src/postgres/access.ts'
import { type Account, chooseAccount } from '../../../src/postgres/account.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const isRoot = process.getuid?.() === 0

describe('the directory of the socket', () => {
  let directory: ReturnType<typeof makeTemporaryDirectory>
  let account: Account

  beforeEach(() => {
    directory = makeTemporaryDirectory()
    account = chooseAccount(undefined, undefined)
  })
  afterEach(() => directory.remove())

  function deepHome(): string {
    const home = join(directory.path, 'd'.repeat(100))
    mkdirSync(home)
    return home
  }

  it('is private, and beside the data', async () => {
    const made = await chooseSocketDirectory(directory.path)
    expect(made).toBe(join(directory.path, 'socket'))
    await makeSocketDirectory(made, account)
    await makeSocketDirectory(made, account)
    expect(statSync(made)).toMatchObject({ uid: account.uid, mode: 0o40700 })
  })

  it('is the same short one each time where that is too long', async () => {
    const home = deepHome()
    const made = await chooseSocketDirectory(home, [directory.path])
    expect(made).toMatch(new RegExp(`^${directory.path}/runwarden-`))
    expect(await chooseSocketDirectory(home, [directory.path])).toBe(made)
  })

  it('is refused where no path is short enough', async () => {
    const home = deepHome()
    await expect(chooseSocketDirectory(home, [home])).rejects.toMatchObject({
      code: 'SOCKET_PATH_TOO_LONG',
      message: expect.stringContaining(
        `${home}: its path may have 107 bytes. Set RUNWARDEN_DATA_DIR to a shorter path`,
      ),
    })
  })

  it("is refused where somebody else's is in its place, or a symlink", async () => {
    const made = await chooseSocketDirectory(directory.path)
    symlinkSync('/tmp', made)
    await expect(makeSocketDirectory(made, account)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    if (!isRoot) return
    rmSync(made)
    mkdirSync(made)
    chownSync(made, 65534, 65534)
    await expect(makeSocketDirectory(made, account)).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringContaining("is uid 65534's"),
    })
  })
})
