-- How much of a stream is kept. Streams that are not here are kept for ever.
create table event_store.retention (
  stream text collate "C" primary key,
  max_age_ms bigint check (max_age_ms > 0),
  max_count bigint check (max_count > 0),
  -- So many events of the stream are gone: they are removed from the oldest on, so this is the first revision there is.
  removed bigint not null default 0,
  -- When to look at the stream again.
  due_at timestamptz not null
) with (fillfactor = 70);
create index retention_due on event_store.retention (due_at);

-- Vacuumed after 1 in 20 events was removed instead of 1 in 5, so that the space is used again. The end of the table is
-- never cut off: that would lock out appends, which are about to fill it.
alter table event_store.events set (autovacuum_vacuum_scale_factor = 0.05, vacuum_truncate = false);

-- Removes some of what retention does not keep: at most so many events, of at most so many streams. It locks nothing
-- that an append needs.
create function event_store.retire(
  max_events integer,
  max_streams integer,
  -- Streams that were looked at; 0: none is due.
  out looked integer,
  out removed bigint
)
language plpgsql volatile
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
#variable_conflict use_variable
declare
  kept event_store.retention;
  revision bigint;
  window_end bigint;
  first_kept bigint;
  oldest timestamptz;
  newest timestamptz;
begin
  looked := 0;
  removed := 0;
  -- What a crash undoes is removed again: no reason to wait for the disk.
  perform set_config('synchronous_commit', 'off', true);

  while looked < max_streams and removed < max_events loop
    -- Another process may be at it, too: it takes other streams.
    select r.* into kept from event_store.retention r where r.due_at <= clock_timestamp()
    order by r.due_at limit 1 for update skip locked;
    exit when not found;
    looked := looked + 1;

    select s.revision into revision from event_store.streams s where s.stream = kept.stream;
    revision := coalesce(revision, -1);
    window_end := least(revision + 1, kept.removed + max_events - removed);
    first_kept := kept.removed;
    if kept.max_age_ms is not null then
      -- The first one that is young enough; none within the window: all of it goes.
      select e.revision into first_kept from event_store.events e
      where e.stream = kept.stream and e.revision >= kept.removed and e.revision < window_end
        and e.recorded_at >= clock_timestamp() - kept.max_age_ms * interval '1 millisecond'
      order by e.revision limit 1;
      first_kept := coalesce(first_kept, window_end);
    end if;
    if kept.max_count is not null then
      first_kept := greatest(first_kept, least(window_end, revision + 1 - kept.max_count));
    end if;

    delete from event_store.events e
    where e.stream = kept.stream and e.revision >= kept.removed and e.revision < first_kept;
    removed := removed + first_kept - kept.removed;

    if first_kept = window_end and window_end <= revision then
      -- There may be more to remove.
      update event_store.retention r set removed = first_kept where r.stream = kept.stream;
    else
      select e.recorded_at into oldest from event_store.events e where e.stream = kept.stream and e.revision = first_kept;
      select e.recorded_at into newest from event_store.events e where e.stream = kept.stream and e.revision = revision;
      -- By age: when the oldest is too old; with none there, the next one is not before its time. By count: the longer
      -- nobody has appended, the later. So a stream that has ended is looked at a few times, not for ever.
      update event_store.retention r
      set removed = first_kept, due_at = least(
        coalesce(oldest, clock_timestamp()) + kept.max_age_ms * interval '1 millisecond',
        case
          when kept.max_count is null then 'infinity'
          when revision < 0 then clock_timestamp() + interval '1 hour'
          else clock_timestamp() + greatest(interval '10 minutes', least(clock_timestamp() - newest, interval '30 days'))
        end
      )
      where r.stream = kept.stream;
    end if;
  end loop;
end
$$;
