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
  [{ EVENT_STORE_URL: 'kurrentdb://x:2113' }, /cannot use yet/],
])('refuses %j with the value and what would do', (env, message) => {
  expect(() => readConfig(env)).toThrow(ConfigurationError)
  expect(() => readConfig(env)).toThrow(message)
})

it('shows no password of a URL that it refuses', () => {
  expect(() => readConfig({ DATABASE_URL: 'mysql://user:secret@db' })).toThrow(
    /^(?!.*secret).*DATABASE_URL is no PostgreSQL URL/s,
  )
})
