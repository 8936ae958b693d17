import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'

export type Account = { name: string; uid: number; gid: number; home: string }

/** The account with this name in the machine's own list; undefined: there is none. */
export function findAccount(name: string): Account | undefined {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [entry, , uid, gid, , home] = line.split(':')
    if (entry === name) return { name, uid: Number(uid), gid: Number(gid), home: home || '/' }
  }
  return undefined
}

/** The account of this process; a uid that has no entry is known by its number. */
export function ownAccount(): Account {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  try {
    const { username, homedir } = userInfo()
    return { name: username, uid, gid, home: homedir }
  } catch {
    return { name: String(uid), uid, gid, home: '/' }
  }
}

/** argv in front of a command that only this child runs as another account. */
export const asAccount = ({ name, gid }: Account): string[] => [
  'setpriv',
  `--reuid=${name}`,
  `--regid=${gid}`,
  '--init-groups',
  '--inh-caps=-all',
  '--',
]
