-- Events that somebody has decided a projection may pass over, because its fold cannot take them. Each one is
-- {position, type, stream, error, skippedBy, skippedAt, reason}.
alter table event_store.checkpoints add column skips jsonb not null default '[]';
