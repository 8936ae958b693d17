/** A connection string that cannot be used. The message never holds the string: it may carry a password. */
export class KurrentAddressError extends Error {
  override readonly name = 'KurrentAddressError'
}

export type KurrentAddress = {
  /** As the client takes it. Holds the password, if there is one. */
  connectionString: string
  /** Decoded: the client's native addon (0.2.2) would send them as they are written in the string. */
  credentials: { username: string; password: string } | undefined
  /** How long one call may take. Milliseconds. */
  deadlineMs: number
}

const scheme = /^(?:kurrentdb|kurrent|kdb|esdb)(\+discover)?:\/\//
const options = [
  'tls',
  'tlsVerifyCert',
  'tlsCAFile',
  'userCertFile',
  'userKeyFile',
  'nodePreference',
  'maxDiscoverAttempts',
  'discoveryInterval',
  'gossipTimeout',
  'keepAliveInterval',
  'keepAliveTimeout',
  'defaultDeadline',
  'connectionName',
]
/** As the client compares names. */
const flat = (name: string) => name.trim().toLowerCase().replace(/[_-]/g, '')
const known = new Set(options.map(flat))

export const isKurrentUrl = (url: string) => scheme.test(url)

/**
 * Checks what the client would not refuse, or refuse with the whole string in a message or a warning on stderr:
 * unknown options, and credentials that cannot be read.
 * @throws KurrentAddressError
 */
export function readKurrentAddress(url: string): KurrentAddress {
  const match = scheme.exec(url)
  if (match === null) throw new KurrentAddressError('is no KurrentDB connection string: write kurrentdb://host:2113')
  const [rest = '', query = ''] = splitOnce(url.slice(match[0].length).trim(), '?')
  const at = rest.lastIndexOf('@')
  const credentials = at < 0 ? undefined : readCredentials(rest.slice(0, at))
  checkHosts(rest.slice(at + 1).replace(/\/+$/, ''))
  const settings = query === '' ? [] : query.split('&').map((setting) => splitOnce(setting, '='))
  for (const [name = '', value] of settings) checkOption(name, value)
  const deadline = settings.find(([name = '']) => flat(name) === 'defaultdeadline')?.[1]
  // The old scheme means the same; the client would warn of it at every connection.
  const connectionString = `kurrentdb${match[1] ?? ''}://${rest.replace(/\/+$/, '')}${query === '' ? '' : `?${query}`}`
  return { connectionString, credentials, deadlineMs: deadline === undefined ? 10_000 : Number(deadline) }
}

function readCredentials(text: string): { username: string; password: string } {
  const [user = '', password = ''] = splitOnce(text, ':')
  const advice = 'In a user or password write : @ / % as %3A %40 %2F %25'
  if (user === '' || password === '' || /[:@/]/.test(password)) {
    throw new KurrentAddressError(`has credentials that are no user:password. ${advice}`)
  }
  try {
    return { username: decodeURIComponent(user), password: decodeURIComponent(password) }
  } catch {
    throw new KurrentAddressError(`has credentials with a % that escapes nothing. ${advice}`)
  }
}

function checkHosts(hosts: string): void {
  for (const host of hosts.split(',')) {
    if (!/^[^\s:/?&=@]+(:\d{1,5})?$/.test(host))
      throw new KurrentAddressError('names no host: write kurrentdb://host:2113')
  }
}

function checkOption(name: string, value: string | undefined): void {
  if (!known.has(flat(name))) {
    throw new KurrentAddressError(`has an option that is not known; these are: ${options.join(', ')}`)
  }
  if (value === undefined || value === '') throw new KurrentAddressError(`has the option ${flat(name)} without a value`)
  const isNumber = /^(maxdiscoverattempts|discoveryinterval|gossiptimeout|keepalive.*|defaultdeadline)$/.test(
    flat(name),
  )
  if (isNumber && !/^(-1|[1-9]\d{0,8})$/.test(value)) {
    throw new KurrentAddressError(`has the option ${flat(name)} with a value that is no whole number`)
  }
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)]
}
