import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { EmbeddedPostgresError } from './embedded-error.ts'

/** Whom PostgreSQL runs as. */
export type Account = { name: string; uid: number; gid: number }

/**
 * PostgreSQL refuses to run as root. `runwarden`: made by an administrator for this; then accounts that exist for
 * PostgreSQL; then system accounts that own nothing and log in nowhere. `nobody` last: others use it too, and whoever
 * runs as the same account can read the data.
 */
const preferred = ['runwarden', 'postgres', '_postgres', 'daemon', 'games', 'news', 'nobody']

/**
 * Without root there is no choice: the account of this process. As root: `wanted`, else the owner of data that exist
 * (a package installed later must not change the choice), else the first that there is of the preferred ones.
 * @param ownerUid the owner of the existing cluster, if there is one
 * @throws EmbeddedPostgresError NO_ACCOUNT, PERMISSION_DENIED (the data belong to somebody else than `wanted`)
 */
export function chooseAccount(wanted: string | undefined, ownerUid: number | undefined): Account {
  if (process.getuid?.() !== 0) return ownAccount(wanted)
  const accounts = readAccounts()
  const owner = accounts.find((account) => account.uid === ownerUid)
  if (wanted !== undefined) return checkedAccount(wanted, accounts, ownerUid)
  if (ownerUid !== undefined && ownerUid !== 0) {
    if (owner !== undefined) return owner
    throw new EmbeddedPostgresError(
      'NO_ACCOUNT',
      `The database files belong to uid ${ownerUid}, which has no account on this machine. Create one, or give the files to an account with chown -R and name it in RUNWARDEN_POSTGRES_ACCOUNT.`,
    )
  }
  for (const name of preferred) {
    const account = accounts.find((known) => known.name === name && known.uid !== 0)
    if (account !== undefined) return account
  }
  throw new EmbeddedPostgresError(
    'NO_ACCOUNT',
    `PostgreSQL does not run as root, and none of the accounts ${preferred.join(', ')} exists. Create one (useradd --system runwarden), or name another in RUNWARDEN_POSTGRES_ACCOUNT.`,
  )
}

function ownAccount(wanted: string | undefined): Account {
  const own = ownPasswdEntry()
  if (wanted === undefined || wanted === own.name) return own
  throw new EmbeddedPostgresError(
    'NO_ACCOUNT',
    `RUNWARDEN_POSTGRES_ACCOUNT is "${wanted}", but only root can run PostgreSQL as another account than its own ("${own.name}"). Leave it unset.`,
  )
}

function ownPasswdEntry(): Account {
  try {
    const { username, uid, gid } = userInfo()
    return { name: username, uid, gid }
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'NO_ACCOUNT',
      `uid ${process.getuid?.()} has no entry in the password file, without which PostgreSQL does not start. Run as an account that has one (in a container: one that the image knows), or set DATABASE_URL.`,
      { cause },
    )
  }
}

function checkedAccount(wanted: string, accounts: Account[], ownerUid: number | undefined): Account {
  const account = accounts.find((known) => known.name === wanted)
  if (account === undefined || account.uid === 0)
    throw new EmbeddedPostgresError(
      'NO_ACCOUNT',
      account === undefined
        ? `There is no account "${wanted}" in /etc/passwd (RUNWARDEN_POSTGRES_ACCOUNT). Create it, or name one that exists.`
        : `PostgreSQL does not run as "${wanted}" (uid 0). Name an unprivileged account in RUNWARDEN_POSTGRES_ACCOUNT.`,
    )
  if (ownerUid !== undefined && ownerUid !== account.uid)
    throw new EmbeddedPostgresError(
      'PERMISSION_DENIED',
      `The database files belong to uid ${ownerUid}, not to "${wanted}" (RUNWARDEN_POSTGRES_ACCOUNT). Leave it unset, or give the files to it with chown -R.`,
    )
  return account
}

function readAccounts(): Account[] {
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4)
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
}

/** Options for spawn: another account is asked for only where it is another. */
export const runAs = (account: Account): { uid?: number; gid?: number } =>
  process.getuid?.() === 0 ? { uid: account.uid, gid: account.gid } : {}
