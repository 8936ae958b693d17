import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAuthenticator, loadAdminToken, UnsafeTokenFile } from '../../../src/server/auth.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

let directory: ReturnType<typeof makeTemporaryDirectory>
beforeEach(() => {
  directory = makeTemporaryDirectory()
})
afterEach(() => directory.remove())

const refusal = () => loadAdminToken(directory.path).catch((error: unknown) => error)

describe('[R19] the admin token', () => {
  it('is made once, for its owner only', async () => {
    const { token, path } = await loadAdminToken(directory.path)
    expect(token).toMatch(/^rw_[A-Za-z0-9_-]{43}$/)
    expect(path).toBe(join(directory.path, 'admin.token'))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'utf8').trim()).toBe(token)
    expect(await loadAdminToken(directory.path)).toEqual({ token, path })
    expect(readdirSync(directory.path)).toEqual(['admin.token'])
  })

  it('is the same for all that start at once', async () => {
    const all = await Promise.all(Array.from({ length: 40 }, () => loadAdminToken(directory.path)))
    expect(new Set(all.map(({ token }) => token)).size).toBe(1)
    expect(readdirSync(directory.path)).toEqual(['admin.token'])
  })

  it.each([0o644, 0o640, 0o604, 0o620])('is refused with mode %o, and the way out is said', async (mode) => {
    const { path, token } = await loadAdminToken(directory.path)
    chmodSync(path, mode)
    const error = await refusal()
    expect(error).toBeInstanceOf(UnsafeTokenFile)
    expect(String(error)).toContain(`chmod 600 ${path}`)
    expect(String(error)).not.toContain(token)
  })

  it.each([
    ['empty', ''],
    ['something else', 'hunter2\n'],
    ['very long', 'x'.repeat(100_000)],
  ])('is refused where the file is %s', async (_what, text) => {
    writeFileSync(join(directory.path, 'admin.token'), text, { mode: 0o600 })
    const error = await refusal()
    expect(error).toBeInstanceOf(UnsafeTokenFile)
    expect(String(error)).not.toContain('hunter2')
  })

  it('is not read through a symbolic link', async () => {
    symlinkSync('/etc/hostname', join(directory.path, 'admin.token'))
    expect(String(await refusal())).toContain('symbolic link')
  })
})

describe('who shows which credentials', () => {
  const authenticate = createAuthenticator('rw_secret')

  it.each(['Bearer rw_secret', 'bearer rw_secret', 'Bearer  rw_secret '])('%j: the admin', (authorization) => {
    expect(authenticate(authorization)).toEqual({ kind: 'token', id: 'admin' })
  })

  it.each([
    undefined,
    null,
    '',
    'rw_secret',
    'Bearer',
    'Bearer rw_secre',
    'Bearer rw_secret rw_secret',
    7,
    ['Bearer rw_secret'],
  ])('%j: nobody', (authorization) => {
    expect(authenticate(authorization)).toBeUndefined()
  })
})
