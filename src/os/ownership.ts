import { randomBytes } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type ProcessIdentity, processIdentitySchema, sameProcess } from '../domain/process-identity.ts'
import { isAlive, isGone, machineIdentity, readIdentity } from './process-identity.ts'
import { answers, holdName, holdPath, isDiskFull } from './unix-socket.ts'

const ownerSchema = z.object({
  identity: processIdentitySchema,
  /** Inode of the owner's `/proc/self/ns/net`. */
  networkNamespace: z.string(),
  /** ISO 8601 UTC. */
  startedAt: z.string(),
  /** It listens at `owner.sock`, which also other namespaces can ask. */
  socket: z.boolean(),
  /** Where its server answers, once it does. */
  url: z.string().optional(),
})

/** Who owns a data directory, or did. */
export type Owner = z.infer<typeof ownerSchema>

export type Ownership = {
  /** Adds to what others can read of us. */
  update(fields: Pick<Owner, 'url'>): Promise<void>
  /** The next owner may come. May be called twice. */
  release(): Promise<void>
}

export type Claim =
  | { ok: true; owner: Ownership }
  /** `by` is undefined while the other one is just starting. */
  | { ok: false; reason: 'OWNED'; by: Owner | undefined; message: string }
  /** It lives, or may live, where its abstract name is not seen; `takeOver` passes over it. */
  | { ok: false; reason: 'OWNED_IN_OTHER_NAMESPACE'; by: Owner; message: string }

const recordPath = (directory: string) => join(directory, 'owner.json')

/**
 * Makes this process the one owner of a data directory until it releases it or dies, however it dies.
 *
 * An abstract unix socket, keyed by the directory's device and inode, excludes everybody in this network namespace and
 * is freed by the kernel at the owner's death. For the others there is `owner.json`, and a socket in the directory.
 * @throws where `owner.json` cannot be written
 */
export async function claimDataDirectory(directory: string, options: { takeOver?: boolean } = {}): Promise<Claim> {
  const { dev, ino } = await stat(directory, { bigint: true })
  const name = await holdName(`runwarden-${dev}-${ino}`)
  const before = await readRecord(directory)
  if (name === undefined) {
    // Whoever just took the name has not written who it is: what lies there is its dead predecessor's.
    const by = before !== undefined && (await mayLive(directory, before)) ? before : undefined
    return { ok: false, reason: 'OWNED', by, message: ownedMessage(directory, by) }
  }
  try {
    if (before !== undefined && !options.takeOver && (await mayLive(directory, before))) {
      name.release()
      return {
        ok: false,
        reason: 'OWNED_IN_OTHER_NAMESPACE',
        by: before,
        message: `${ownedMessage(directory, before)} It runs in another namespace (a container?). If you know that it is gone, start with --take-over.`,
      }
    }
    return { ok: true, owner: await settle(directory, name.release) }
  } catch (error) {
    name.release()
    throw error
  }
}

async function settle(directory: string, releaseName: () => void): Promise<Ownership> {
  const socket = await holdPath(directory, 'owner.sock')
  let own: Owner = {
    identity: ownIdentity(),
    networkNamespace: networkNamespace(),
    startedAt: new Date().toISOString(),
    socket: socket !== undefined,
  }
  await writeRecord(directory, own)
  return {
    async update(fields) {
      own = { ...own, ...fields }
      await writeRecord(directory, own)
    },
    async release() {
      const record = await readRecord(directory)
      // Somebody may have taken over: what lies in the directory is theirs then.
      if (record !== undefined && sameProcess(record.identity, own.identity)) {
        await rm(recordPath(directory), { force: true })
        socket?.release()
      }
      releaseName()
    },
  }
}

/** Who owns, or last owned, a directory; undefined where nobody does: it was released, or never claimed. */
export async function readOwner(directory: string): Promise<(Owner & { alive: boolean }) | undefined> {
  const owner = await readRecord(directory)
  return owner && { ...owner, alive: await mayLive(directory, owner) }
}

/** False only where it is known to be gone. */
async function mayLive(directory: string, owner: Owner): Promise<boolean> {
  const here = machineIdentity()
  // The machine was started again since. (A directory that several machines mount is not supported.)
  if (owner.identity.bootId !== here.bootId) return false
  if (owner.identity.pidNamespace === here.pidNamespace) return isAlive(owner.identity)
  // Its pid means nothing here, but a path is the same for everybody who sees this directory.
  return owner.socket ? answers(directory, 'owner.sock') : true
}

function ownedMessage(directory: string, by: Owner | undefined): string {
  if (by === undefined) return `The data directory ${directory} is owned by another Runwarden, which is just starting.`
  const where = by.url === undefined ? '' : `, ${by.url}`
  return `The data directory ${directory} is owned by another Runwarden (pid ${by.identity.pid}${where}, since ${by.startedAt}). Stop it with "runwarden down", or set RUNWARDEN_DATA_DIR to another directory.`
}

function ownIdentity(): ProcessIdentity {
  const identity = readIdentity(process.pid)
  if (identity === undefined) throw new Error(`/proc does not show this process (pid ${process.pid})`)
  return identity
}

const networkNamespace = () => /\[(\d+)\]/.exec(readlinkSync('/proc/self/ns/net'))?.[1] ?? '0'

/** A record that is damaged says nothing; it is written by rename, so a crash does not damage it. */
async function readRecord(directory: string): Promise<Owner | undefined> {
  try {
    return ownerSchema.parse(JSON.parse(await readFile(recordPath(directory), 'utf8')))
  } catch (error) {
    if (isGone(error) || error instanceof SyntaxError || error instanceof z.ZodError) return undefined
    throw error
  }
}

/** Room for any record, so that one can be written over another in place. */
const recordBytes = 2048

async function writeRecord(directory: string, owner: Owner): Promise<void> {
  const text = `${JSON.stringify(owner, null, 2)}\n`.padEnd(recordBytes)
  const unfinished = `${recordPath(directory)}.${randomBytes(4).toString('hex')}`
  try {
    await writeFile(unfinished, text, { flag: 'wx' })
    await rename(unfinished, recordPath(directory))
  } catch (error) {
    await rm(unfinished, { force: true })
    // A crashed server has to come back on a full disk: what its predecessor left takes no more space when rewritten.
    if (!isDiskFull(error)) throw error
    await overwrite(recordPath(directory), text).catch(() => {
      throw error
    })
  }
}

async function overwrite(path: string, text: string): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(text, 0).finally(() => file.close())
}
