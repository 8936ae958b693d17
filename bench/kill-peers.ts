import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { execa } from 'execa'
import treeKill from 'tree-kill'
import { spawnTree, treeCommand } from './process-trees.ts'

const run = promisify(execFile)

/** What a user would take instead: starts a tree, and ends it until it says itself that it is done. */
export type KillPeer = {
  name: string
  start(processes: number, env: Record<string, string>): Promise<void>
  kill(): Promise<void>
  close(): Promise<void>
}

/** Those that there are on this machine. @param note says which are not */
export async function openPeers(note: (text: string) => void): Promise<KillPeer[]> {
  const peers = [group(), treeKiller(), withExeca()]
  for (const [command, open] of [['pm2', openPm2] as const, ['supervisord', openSupervisor] as const]) {
    if (isInstalled(command)) peers.push(await open())
    else note(`${command} is not on the PATH, and so left out`)
  }
  return peers
}

const isInstalled = (command: string) =>
  (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** The floor of what a kill can take: one system call. */
function group(): KillPeer {
  let child: ChildProcess
  return {
    name: 'kill(-pgid, SIGKILL)',
    async start(processes, env) {
      child = spawnTree(processes, env, true)
    },
    async kill() {
      const exit = once(child, 'exit')
      process.kill(-(child.pid as number), 'SIGKILL')
      await exit
    },
    async close() {},
  }
}

function treeKiller(): KillPeer {
  let child: ChildProcess
  return {
    name: 'tree-kill',
    async start(processes, env) {
      child = spawnTree(processes, env, false)
    },
    async kill() {
      const exit = once(child, 'exit')
      await promisify<number, string>(treeKill)(child.pid as number, 'SIGKILL')
      await exit
    },
    async close() {},
  }
}

function withExeca(): KillPeer {
  let kill: () => Promise<unknown>
  return {
    name: 'execa',
    async start(processes, env) {
      const [file = '', ...args] = treeCommand(processes)
      const child = execa(file, args, { stdio: 'ignore', reject: false, env })
      kill = () => {
        child.kill('SIGKILL')
        return child
      }
    },
    async kill() {
      await kill()
    },
    async close() {},
  }
}

async function openPm2(): Promise<KillPeer> {
  const home = await mkdtemp(join(tmpdir(), 'runwarden-bench-pm2-'))
  const pm2 = (args: string[], env: Record<string, string> = {}) =>
    run('pm2', args, { env: { ...process.env, ...env, PM2_HOME: home } })
  await pm2(['ping'])
  return {
    name: 'pm2 delete',
    async start(processes, env) {
      const [, ...args] = treeCommand(processes)
      await pm2(['start', '/bin/sh', '--name', 'tree', '--interpreter', 'none', '--no-autorestart', '--', ...args], env)
    },
    async kill() {
      await pm2(['delete', 'tree'])
    },
    async close() {
      await pm2(['kill'])
      await rm(home, { recursive: true, force: true })
    },
  }
}

/** As its manual advises for programs with children: `stopasgroup` and `killasgroup`. */
async function openSupervisor(): Promise<KillPeer> {
  const home = await mkdtemp(join(tmpdir(), 'runwarden-bench-supervisor-'))
  const config = join(home, 'supervisord.conf')
  const base = `[unix_http_server]
file=${home}/s
[supervisord]
nodaemon=true
logfile=${home}/log
pidfile=${home}/pid
childlogdir=${home}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://${home}/s
`
  const control = (...args: string[]) => run('supervisorctl', ['-c', config, ...args])
  await writeFile(config, base)
  const daemon = spawn('supervisord', ['-c', config], { stdio: 'ignore' })
  await untilTrue(() => control('pid'))
  return {
    name: 'supervisorctl stop',
    async start(processes, env) {
      const [, , script = ''] = treeCommand(processes)
      await writeFile(join(home, 'tree.sh'), script.replaceAll('$0', '$1'))
      const variables = Object.entries(env).map(([name, value]) => `${name}="${value}"`)
      const program = [
        ...['[program:tree]', `command=/bin/sh ${home}/tree.sh ${processes}`, `environment=${variables.join(',')}`],
        ...['autorestart=false', 'startsecs=0', 'stopasgroup=true', 'killasgroup=true', ''],
      ]
      await writeFile(config, base + program.join('\n'))
      await control('update')
    },
    async kill() {
      await control('stop', 'tree')
    },
    async close() {
      const exit = once(daemon, 'exit')
      daemon.kill('SIGTERM')
      await exit
      await rm(home, { recursive: true, force: true })
    },
  }
}

async function untilTrue(ask: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await ask()
      return
    } catch {
      // Not there yet.
    }
  }
}
