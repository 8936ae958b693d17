import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { constants, type FileHandle, link, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Actor, owner } from '../domain/event.ts'

/** `rw_` and 32 random bytes in base64url. */
const tokenPattern = /^rw_[A-Za-z0-9_-]{43}$/

/** The file of the admin token must not be used as it is; the message says why, and the way out. */
export class UnsafeTokenFile extends Error {
  override readonly name = 'UnsafeTokenFile'
}

/** Who shows these credentials; undefined: nobody known. `authorization` is what the client sent, whatever that is. */
export type Authenticate = (authorization: unknown) => Actor | undefined

/**
 * Reads `admin.token` of a data directory, and makes it on the first start. Two servers that start at once get the same.
 * @throws UnsafeTokenFile where others can read it, or where it holds no token
 */
export async function loadAdminToken(dataDirectory: string): Promise<{ token: string; path: string }> {
  const path = join(dataDirectory, 'admin.token')
  const known = await readToken(path)
  if (known !== undefined) return { token: known, path }
  await makeToken(dataDirectory, path)
  const token = await readToken(path)
  if (token === undefined) throw new UnsafeTokenFile(`${path} vanished while it was read. Start again.`)
  return { token, path }
}

/** undefined: there is no such file. */
async function readToken(path: string): Promise<string | undefined> {
  const file = await openToken(path)
  if (file === undefined) return undefined
  try {
    const stat = await file.stat()
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8)
      throw new UnsafeTokenFile(
        `${path} can be used by others (mode ${mode}), and whoever has it may kill any run. ` +
          `If nobody has read it: chmod 600 ${path}. Else delete it: the next start makes a new one.`,
      )
    }
    // Longer than any token: a file that is something else is not read to its end.
    const { buffer, bytesRead } = await file.read(Buffer.alloc(200), 0, 200, 0)
    const token = buffer.toString('utf8', 0, bytesRead).trim()
    if (tokenPattern.test(token)) return token
    throw new UnsafeTokenFile(`${path} holds no token of Runwarden. Delete it: the next start makes a new one.`)
  } finally {
    await file.close()
  }
}

async function openToken(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') {
      throw new UnsafeTokenFile(`${path} is a symbolic link. Put the token itself there, or delete the link.`, {
        cause: error,
      })
    }
    throw new UnsafeTokenFile(`${path} cannot be read (${code}). Run as the account that owns it.`, { cause: error })
  }
}

/** Written aside and then linked, which fails where there is one: nobody ever reads half a token, and the first one stays. */
async function makeToken(dataDirectory: string, path: string): Promise<void> {
  const draft = join(dataDirectory, `.admin.token-${process.pid}-${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(`rw_${randomBytes(32).toString('base64url')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
}

/** Takes `Bearer TOKEN`. Digests are compared, so that neither time nor length says anything about the token. */
export function createAuthenticator(token: string): Authenticate {
  const wanted = digest(token)
  return (authorization) => {
    if (typeof authorization !== 'string') return undefined
    const [, given] = /^Bearer +(\S+) *$/i.exec(authorization) ?? []
    if (given === undefined || !timingSafeEqual(digest(given), wanted)) return undefined
    return owner
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Why somebody was turned away, for them and for the record; never what they sent. */
export const refusalOf = (authorization: unknown) =>
  authorization === undefined ? 'no token was sent' : 'the token that was sent is not valid'
