/**
 * Given on the command line at every start: an edited or a restored postgresql.conf cannot weaken them, and an older
 * cluster has them too.
 */
export const settings: readonly string[] = [
  'listen_addresses=',
  'unix_socket_permissions=0700',
  // What was acknowledged is on disk.
  'fsync=on',
  'synchronous_commit=on',
  'full_page_writes=on',
  // One server's pools, a connection or two for each projection, and a second server or a tool beside it.
  'max_connections=120',
  'shared_buffers=64MB',
  // Bounds the log that a recovery replays, and the disk it takes.
  'max_wal_size=512MB',
  // No replicas: less is written, nothing of it needed for recovery.
  'wal_level=minimal',
  'max_wal_senders=0',
  // The log is for people: no checkpoint every five minutes, no statement with a run's data in it.
  'log_checkpoints=off',
  'log_min_error_statement=panic',
  'log_timezone=UTC',
  'timezone=UTC',
  'lc_messages=C',
  'cluster_name=runwarden',
]
