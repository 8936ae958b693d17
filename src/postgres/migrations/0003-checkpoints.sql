-- A projection's checkpoint also says what its rows were made by and from, and what stopped it.
alter table event_store.checkpoints
  -- Of the projection's code that made the rows; 0: there are no rows yet.
  add column version integer not null default 0,
  -- The store whose events the rows derive from; positions of another store mean nothing here.
  add column store_id uuid,
  -- {position, type, stream, error}: the event after `position` that could not be folded.
  add column failure jsonb;
