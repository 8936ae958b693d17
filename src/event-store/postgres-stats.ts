import type { StoreStats } from './event-store.ts'
import type { Query } from './postgres-reader.ts'

/** The rate is told from the events of this long, or from the newest so many: 100,000 are read in some 30 ms. */
const lately = { seconds: 60, events: 100_000 }

/**
 * Nothing here reads all events: a stream's last revision says how many it had, retention how many of them are gone.
 */
export async function readStats(query: Query): Promise<StoreStats> {
  const [[store], kinds, [rate]] = await Promise.all([
    query({ text: storeText }),
    query({ text: kindsText }),
    query({ text: rateText, values: [lately.seconds, lately.events] }),
  ])
  const [version, storeId, head, bytes, oldest, newest] = store ?? []
  const streams = kinds.map(([kind, count, events, retired]) => ({
    kind: String(kind),
    streams: Number(count),
    events: Number(events) - Number(retired),
    retired: Number(retired),
  }))
  const sum = (of: 'events' | 'retired') => streams.reduce((total, kind) => total + kind[of], 0)
  return {
    engine: 'postgresql',
    version: String(version),
    storeId: String(storeId),
    head: Number(head),
    events: sum('events'),
    retiredEvents: sum('retired'),
    bytesOnDisk: Number(bytes),
    streams,
    oldestAt: timeOf(oldest),
    newestAt: timeOf(newest),
    appendedPerSecond: Number(rate?.[0]),
  }
}

const timeOf = (value: unknown) => (value instanceof Date ? value.toISOString() : null)

const storeText = `
  select current_setting('server_version'), (select store_id from event_store.identity),
    (select position from event_store.counter),
    (select sum(pg_total_relation_size(oid)) from pg_class
     where relkind = 'r' and relnamespace = 'event_store'::regnamespace),
    (select recorded_at from event_store.events order by position limit 1),
    (select recorded_at from event_store.events order by position desc limit 1)`

const kindsText = `
  select split_part(s.stream, '-', 1), count(*), sum(s.revision + 1), coalesce(sum(r.removed), 0)
  from event_store.streams s left join event_store.retention r on r.stream = s.stream and r.removed > 0
  group by 1 order by 1`

const rateText = `
  select case when count(*) < $2::int then count(*)::float8 / $1::int
    else count(*) / extract(epoch from clock_timestamp() - min(recorded_at))::float8 end
  from (
    select recorded_at from event_store.events
    where position > (select position from event_store.counter) - $2::int
    order by position desc limit $2::int
  ) newest
  where recorded_at > clock_timestamp() - $1::int * interval '1 second'`
