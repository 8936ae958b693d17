-- append_one in three statements instead of four for what nearly every append is: an event that nobody has seen before,
-- for a stream that exists. Measured without the disk: 46 µs of CPU against 52. To take the revision from the last event
-- instead of `streams`, in two statements, is no faster: 50.
create or replace function event_store.append_one(
  stream text,
  expected bigint, -- a revision; -1 no stream, -2 any, -3 the stream exists
  event_id uuid,
  type text,
  v integer,
  data json,
  metadata json,
  -- As of append_batch.
  out outcome text,
  out revision bigint,
  out "position" bigint
)
language plpgsql volatile
-- As in append_batch: the plans may be made while the tables are empty.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
#variable_conflict use_variable
declare
  next bigint;
  actual bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'append_one reads what was committed while it waited: it needs the isolation level read committed';
  end if;
  if current_setting('synchronous_commit') = 'off' then
    set local synchronous_commit = on;
  end if;

  -- Locks first, reads then.
  update event_store.counter c set position = c.position + 1 returning c.position into strict next;

  update event_store.streams s set revision = s.revision + 1
  where s.stream = append_one.stream and (expected in (-2, -3) or s.revision = expected)
  returning s.revision into revision;
  if found then
    insert into event_store.events (position, stream, revision, event_id, type, v, data, metadata, recorded_at)
    select next, stream, revision, event_id, type, v, data, metadata, clock_timestamp()
    where not exists (
      select from event_store.events e where e.stream = append_one.stream and e.event_id = append_one.event_id
    );
    if found then
      outcome := 'appended';
      position := next;
      perform pg_notify('event_store', position::text);
      return;
    end if;
    -- The event is there already.
    update event_store.streams s set revision = s.revision - 1 where s.stream = append_one.stream;
  end if;

  -- The stream outlives its events, so without it there is no event either.
  select s.revision, e.revision, e.position into actual, revision, position
  from event_store.streams s
  left join event_store.events e on e.stream = s.stream and e.event_id = append_one.event_id
  where s.stream = append_one.stream;

  if actual is null and expected in (-1, -2) then
    outcome := 'appended';
    revision := 0;
    position := next;
    insert into event_store.events (position, stream, revision, event_id, type, v, data, metadata, recorded_at)
    values (position, stream, revision, event_id, type, v, data, metadata, clock_timestamp());
    insert into event_store.streams (stream, revision) values (stream, revision);
    perform pg_notify('event_store', position::text);
    return;
  end if;

  if position is not null then
    outcome := 'duplicate';
  else
    outcome := 'conflict';
    revision := coalesce(actual, -1);
  end if;
  update event_store.counter c set position = c.position - 1;
end
$$;
