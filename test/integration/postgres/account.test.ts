import { userInfo } from 'node:os'
import { describe, expect, it } from 'vitest'
import { chooseAccount } from '../../../src/postgres/account.ts'

const isRoot = process.getuid?.() === 0
const unusedUid = 64_999

describe.skipIf(!isRoot)('the account of PostgreSQL, as root', () => {
  it('is an unprivileged one that exists', () => {
    const account = chooseAccount(undefined, undefined)
    expect(account.uid).toBeGreaterThan(0)
  })

  it('is the one asked for', () => {
    expect(chooseAccount('nobody', undefined)).toMatchObject({ name: 'nobody', uid: 65534 })
  })

  it('is the owner of data that exist, whatever was installed since', () => {
    expect(chooseAccount(undefined, 65534)).toMatchObject({ name: 'nobody' })
  })

  it.each([
    ['no-such-account', undefined, 'NO_ACCOUNT', /no account "no-such-account".*name one/],
    ['root', undefined, 'NO_ACCOUNT', /does not run as "root".*unprivileged/],
    ['nobody', 1, 'PERMISSION_DENIED', /belong to uid 1, not to "nobody".*chown -R/],
    [undefined, unusedUid, 'NO_ACCOUNT', /belong to uid 64999, which has no account.*RUNWARDEN_POSTGRES_ACCOUNT/],
  ])('is refused: asked for %s, data of uid %s', (wanted, owner, code, message) => {
    expect(() => chooseAccount(wanted, owner)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })
})

describe.skipIf(isRoot)('the account of PostgreSQL, as an ordinary user', () => {
  it('is our own, and no other', () => {
    expect(chooseAccount(undefined, undefined).name).toBe(userInfo().username)
    expect(() => chooseAccount('root', undefined)).toThrow(/only root can/)
  })
})
