import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { resolveDataDirectory } from '../os/data-directory.ts'
import { CliError, exitCodes, usageError } from './exit-codes.ts'

/** The options that every command has which speaks to a server. */
export type ServerOptions = { url?: string; tokenFile?: string }

export type Located = {
  /** Without a slash at its end. */
  url: string
  /** undefined: none was found; the server will say whether it minds. */
  token: string | undefined
  /** Where the token came from, or was looked for; for messages. */
  tokenSource: string
  /** It is, or would be, a server of this machine. */
  isThisMachine: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

const defaultPort = '4680'

/**
 * Finds the server and the token for it: the option, the environment, then what the server itself left in its data
 * directory. A token that lies on this machine is offered to this machine only.
 * @throws CliError usage, auth
 */
export function locateServer(options: ServerOptions, env: Environment): Located {
  const dataDirectory = dataDirectoryOf(env)
  const ownersUrl = readOwnersUrl(dataDirectory)
  const named = options.url ?? (env.RUNWARDEN_URL || undefined)
  // Port 0 means any free one: only the server knows which.
  const port = env.RUNWARDEN_PORT && env.RUNWARDEN_PORT !== '0' ? env.RUNWARDEN_PORT : defaultPort
  const url = checkedUrl(named ?? ownersUrl ?? `http://127.0.0.1:${port}`)
  const place = { url, ownersUrl, dataDirectory }
  return { url, ...findToken(options, env, place), isThisMachine: isThisMachine(place) }
}

function dataDirectoryOf(env: Environment): string {
  try {
    return resolveDataDirectory(env, process.getuid?.() ?? -1)
  } catch (error) {
    throw new CliError(exitCodes.usage, (error as Error).message, undefined, { cause: error })
  }
}

function checkedUrl(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw usageError(
      `"${text}" is no URL of a server.`,
      'Give it like http://127.0.0.1:4680 or https://runwarden.example.',
    )
  }
  return url.href.replace(/\/+$/, '')
}

type Place = { url: string; ownersUrl: string | undefined; dataDirectory: string }

function findToken(options: ServerOptions, env: Environment, place: Place): Pick<Located, 'token' | 'tokenSource'> {
  if (options.tokenFile !== undefined) {
    const token = readToken(options.tokenFile)
    if (token === undefined) throw new CliError(exitCodes.auth, `There is no token file ${options.tokenFile}.`)
    return { token, tokenSource: options.tokenFile }
  }
  if (env.RUNWARDEN_TOKEN) return { token: env.RUNWARDEN_TOKEN.trim(), tokenSource: 'RUNWARDEN_TOKEN' }
  if (!isThisMachine(place)) {
    return { token: undefined, tokenSource: `nowhere: the token of this machine is not sent to ${place.url}` }
  }
  const path = join(place.dataDirectory, 'admin.token')
  return { token: readToken(path), tokenSource: path }
}

function isThisMachine({ url, ownersUrl }: Place): boolean {
  const { hostname } = new URL(url)
  return url === ownersUrl || hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/** undefined: there is no such file. @throws CliError auth when it may not be read. */
function readToken(path: string): string | undefined {
  const token = read(path, (cause) => {
    throw new CliError(
      exitCodes.auth,
      `The token file ${path} cannot be read (${(cause as NodeJS.ErrnoException).code}).`,
      'Run this as the account that started the server, or name a file that you can read: --token-file FILE.',
      { cause },
    )
  })
  return token?.trim() || undefined
}

/** What the server that owns the directory says of itself; it may be gone by now, or not be readable for this user. */
function readOwnersUrl(dataDirectory: string): string | undefined {
  const text = read(join(dataDirectory, 'owner.json'), () => undefined)
  try {
    const { url } = JSON.parse(text ?? '{}') as { url?: unknown }
    return typeof url === 'string' ? checkedUrl(url) : undefined
  } catch {
    // Half-written or not ours: the default address is as good a guess.
    return undefined
  }
}

function read(path: string, onFailure: (cause: unknown) => undefined): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return onFailure(error)
  }
}
