import { join } from 'node:path'
import type { Config } from './config.ts'
import type { DiskPlace } from './host/disk-watch.ts'

/** Where a server of this data directory writes. Each may be a mount, or a link to one, of its own. */
export const diskPlaces = (dataDirectory: string, { databaseUrl }: Config): DiskPlace[] => [
  { name: 'data', path: dataDirectory },
  ...(databaseUrl === undefined ? [{ name: 'postgres', path: join(dataDirectory, 'postgres') }] : []),
  ...['runs', 'workspaces', 'artifacts'].map((name) => ({ name, path: join(dataDirectory, 'host', name) })),
]
