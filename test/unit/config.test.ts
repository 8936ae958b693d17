import { expect, it } from 'vitest'
import { ConfigurationError, readConfig } from '../../src/config.ts'

it('reads the environment, and takes an empty variable for one that is not set', () => {
  expect(readConfig({})).toMatchObject({ port: 4680, address: '127.0.0.1', cgroups: 'auto', databaseUrl: undefined })
  expect(readConfig({ RUNWARDEN_PORT: '4711', RUNWARDEN_CGROUPS: '' })).toMatchObject({ port: 4711, cgroups: 'auto' })
  const url = 'postgres://db.example/runwarden'
  expect(readConfig({ DATABASE_URL: url })).toMatchObject({ databaseUrl: url, eventStoreUrl: url })
})

it.each([
  [{ RUNWARDEN_PORT: 'abc' }, /RUNWARDEN_PORT is "abc", which is no whole number from 0 to 65535/],
  [{ RUNWARDEN_PORT: '0x10' }, /is no whole number/],
  [{ RUNWARDEN_PORT: '70000' }, /from 0 to 65535/],
  [{ RUNWARDEN_CAPACITY: '0' }, /from 1 to 100000/],
  [{ RUNWARDEN_CHECK_INTERVAL_MS: '60001' }, /from 100 to 60000/],
  [{ RUNWARDEN_SALVAGE_MAX_BYTES: '1 GB' }, /RUNWARDEN_SALVAGE_MAX_BYTES is "1 GB", which is no whole number/],
  [{ RUNWARDEN_KEEP_DAYS: '-1' }, /from 0 to 36500/],
  [{ RUNWARDEN_TELEMETRY_KEEP_DAYS: '0' }, /from 1 to 36500/],
  [{ RUNWARDEN_TELEMETRY_KEEP_EVENTS: 'all' }, /from 1 to 999999999/],
  [{ RUNWARDEN_CGROUPS: 'on' }, /RUNWARDEN_CGROUPS is "on"/],
  [{ EVENT_STORE_URL: 'mongodb://x' }, /is no URL of an event store: .* kurrentdb:/],
  [{ EVENT_STORE_URL: 'kurrentdb://' }, /names no host/],
  [{ EVENT_STORE_URL: 'kurrentdb://x:2113?tsl=false' }, /has an option that is not known; these are: tls, /],
  [{ EVENT_STORE_URL: 'kurrentdb://x?defaultDeadline=soon' }, /defaultdeadline with a value that is no whole number/],
  [{ EVENT_STORE_URL: 'kurrentdb://admin@x' }, /credentials that are no user:password/],
  [{ EVENT_STORE_URL: 'kurrentdb://admin:a:b@x' }, /In a user or password write : @ \/ % as %3A/],
])('refuses %j with the value and what would do', (env, message) => {
  expect(() => readConfig(env)).toThrow(ConfigurationError)
  expect(() => readConfig(env)).toThrow(message)
})

it.each([
  'kurrentdb://db.example:2113?tls=false',
  'kurrentdb+discover://admin:p%40ss@cluster.example:2113?nodePreference=leader&tlsCAFile=/etc/ca.crt',
  'kurrentdb://one.example:2111,two.example:2112,three.example/?keepAliveInterval=-1',
  'esdb://db.example',
  'esdb+discover://cluster.example:2113',
])('takes %s as an event store', (url) => {
  expect(readConfig({ EVENT_STORE_URL: url })).toMatchObject({ eventStoreUrl: url, databaseUrl: undefined })
})

it.each([
  'kurrentdb://admin:secret@',
  'kurrentdb://admin:secret:more@x',
  'esdb://a:secret@x?b=c',
  'kurrentdb://a:secret%@x',
])('shows no password of %s', (url) => {
  expect(() => readConfig({ EVENT_STORE_URL: url })).toThrow(/^(?!.*secret).*EVENT_STORE_URL/s)
})

it('shows no password of a URL that it refuses', () => {
  expect(() => readConfig({ DATABASE_URL: 'mysql://user:secret@db' })).toThrow(
    /^(?!.*secret).*DATABASE_URL is no PostgreSQL URL/s,
  )
})
