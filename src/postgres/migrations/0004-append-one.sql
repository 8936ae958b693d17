-- append_batch for a batch of one append of one event, which is what a server that is not busy does all the time: the
-- same steps with the same results, without arrays. Measured with one caller: 0.10 ms of the server's CPU against 0.18.
create function event_store.append_one(
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

  -- The stream outlives its events, so without it there is no event either.
  select s.revision, e.revision, e.position into actual, revision, position
  from event_store.streams s
  left join event_store.events e on e.stream = s.stream and e.event_id = append_one.event_id
  where s.stream = append_one.stream;
  actual := coalesce(actual, -1);

  if position is not null then
    outcome := 'duplicate';
  elsif expected = -2 or expected = actual or (expected = -3 and actual >= 0) then
    outcome := 'appended';
  else
    outcome := 'conflict';
    revision := actual;
  end if;
  if outcome <> 'appended' then
    update event_store.counter c set position = c.position - 1;
    return;
  end if;

  revision := actual + 1;
  position := next;
  insert into event_store.events (position, stream, revision, event_id, type, v, data, metadata, recorded_at)
  values (position, stream, revision, event_id, type, v, data, metadata, clock_timestamp());
  if actual = -1 then
    insert into event_store.streams (stream, revision) values (stream, revision);
  else
    update event_store.streams s set revision = append_one.revision where s.stream = append_one.stream;
  end if;
  perform pg_notify('event_store', position::text);
end
$$;
