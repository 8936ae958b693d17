import { chmodSync, chownSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { prepareDataDirectory, resolveDataDirectory } from '../../../src/os/data-directory.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const isRoot = process.getuid?.() === 0

describe('where the data are', () => {
  it.each([
    [{ RUNWARDEN_DATA_DIR: '/data', HOME: '/home/ada' }, 1000, '/data'],
    [{ HOME: '/root' }, 0, '/var/lib/runwarden'],
    [{ HOME: '/home/ada', XDG_STATE_HOME: '/state' }, 1000, '/state/runwarden'],
    [{ HOME: '/home/ada', XDG_STATE_HOME: 'relative' }, 1000, '/home/ada/.local/state/runwarden'],
    [{ HOME: '/home/ada', RUNWARDEN_DATA_DIR: '' }, 1000, '/home/ada/.local/state/runwarden'],
  ])('%o as uid %i: %s', (env, uid, path) => {
    expect(resolveDataDirectory(env, uid)).toBe(path)
  })

  it('refuses a relative path', () => {
    expect(() => resolveDataDirectory({ RUNWARDEN_DATA_DIR: 'data' }, 0)).toThrow(/"data".*absolute/)
  })
})

describe('the data directory', () => {
  let parent: ReturnType<typeof makeTemporaryDirectory>
  let path: string

  beforeEach(() => {
    parent = makeTemporaryDirectory()
    path = join(parent.path, 'deep', 'data')
  })
  afterEach(() => parent.remove())

  it('is made, closed to others but for passing through where we are root', async () => {
    expect(await prepareDataDirectory(path)).toBe(path)
    expect(statSync(path).mode & 0o7777).toBe(isRoot ? 0o711 : 0o700)
    expect(await prepareDataDirectory(path), 'again').toBe(path)
  })

  it('is given without symlinks', async () => {
    await prepareDataDirectory(path)
    symlinkSync(path, join(parent.path, 'link'))
    expect(await prepareDataDirectory(join(parent.path, 'link'))).toBe(path)
  })

  it('is refused when others may write in it', async () => {
    await prepareDataDirectory(path)
    chmodSync(path, 0o775)
    await expect(prepareDataDirectory(path)).rejects.toMatchObject({
      code: 'WRITABLE_BY_OTHERS',
      message: expect.stringContaining(
        `(mode 0775), and so could replace the token or a run's files. Take that away: chmod go-w ${path}`,
      ),
    })
  })

  it.skipIf(!isRoot)('is refused when it belongs to somebody else', async () => {
    await prepareDataDirectory(path)
    chownSync(path, 65534, 65534)
    await expect(prepareDataDirectory(path)).rejects.toMatchObject({
      code: 'OTHER_OWNER',
      message: expect.stringContaining('uid 65534'),
    })
  })

  it('is refused when a file is in its place, or above it', async () => {
    const file = join(parent.path, 'file')
    writeFileSync(file, '')
    await expect(prepareDataDirectory(file)).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
    await expect(prepareDataDirectory(join(file, 'data'))).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' })
  })

  it('is refused when it cannot be made', async () => {
    await expect(prepareDataDirectory('/proc/runwarden')).rejects.toMatchObject({
      code: 'CANNOT_CREATE',
      message: expect.stringContaining('/proc/runwarden'),
    })
  })
})
