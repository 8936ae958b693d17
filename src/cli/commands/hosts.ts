import type { Command } from 'commander'
import type { HostReport } from '../../domain/host-link.ts'
import { type CliContext, withExamples, withJson, withServer } from '../context.ts'
import { documents } from '../documents.ts'
import type { ServerOptions } from '../locate.ts'
import { printable } from '../printable.ts'
import { type Cell, tableLines } from '../table.ts'

type Host = Pick<HostReport, 'hostname' | 'platform' | 'levelDetail' | 'slots' | 'checks'> & {
  id: string
  level: 'CGROUP_V2' | 'PROCESS_SCAN'
}

export function addHosts(program: Command, context: CliContext): void {
  const command = program
    .command('hosts')
    .description('List the hosts: their room for runs, and how strong a proof of death each can give.')
    .action((options: ServerOptions & { json?: true }) => hosts(context, options))
  withExamples(withJson(withServer(command)), [['runwarden hosts', 'where runs live']])
}

async function hosts({ connect, screen }: CliContext, options: ServerOptions & { json?: true }): Promise<void> {
  const { hosts } = await connect(options).request<{ hosts: Host[] }>(documents.hosts)
  if (options.json) {
    for (const host of hosts) await screen.json(host)
    return
  }
  const columns = ['HOST', 'NAME', 'SLOTS', 'PROOF', 'WHY'].map((title) => ({ title }))
  for (const line of tableLines(columns, hosts.map(row), screen)) await screen.line(line)
}

const row = ({ id, hostname, slots, level, levelDetail }: Host): Cell[] => [
  id,
  printable(hostname),
  `${slots.used} of ${slots.capacity}${slots.waiting > 0 ? `, ${slots.waiting} waiting` : ''}`,
  level.toLowerCase().replace('_', '-'),
  printable(levelDetail),
]
