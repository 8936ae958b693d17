import { describe, expect, it } from 'vitest'
import { databaseAt, isUnavailable } from '../../../src/postgres/connection.ts'

const error = (message: string, properties: object = {}) => Object.assign(new Error(message), properties)

describe('isUnavailable', () => {
  for (const code of ['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'ENOTFOUND']) {
    it(`takes ${code} for a database that is away`, () => expect(isUnavailable(error('', { code }))).toBe(true))
  }
  for (const code of ['57P01', '57P02', '57P03', '08006', '08P01', '53100', '53200', '53300', '25006', '57014']) {
    it(`takes SQLSTATE ${code} for one that is away, or cannot write now`, () =>
      expect(isUnavailable(error('', { code, severity: 'ERROR' }))).toBe(true))
  }
  for (const message of [
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'timeout expired',
    'Query read timeout',
    'Client has encountered a connection error and is not queryable',
  ]) {
    it(`knows what pg says without a code: ${message}`, () => expect(isUnavailable(error(message))).toBe(true))
  }
  it('takes refused connections for it, but no other wrong state', () => {
    expect(isUnavailable(error('', { code: '55000', severity: 'FATAL' }))).toBe(true)
    expect(isUnavailable(error('', { code: '55000', severity: 'ERROR' }))).toBe(false)
  })
  for (const code of ['42P01', '23505', '22P02', '28P01', '3D000', '40001', 'ERR_INVALID_ARG_TYPE']) {
    it(`takes ${code} for a bug or a wrong setting`, () => expect(isUnavailable(error('', { code }))).toBe(false))
  }
  it('knows no other errors', () => {
    expect(isUnavailable(error('something else'))).toBe(false)
    expect(isUnavailable('ECONNREFUSED')).toBe(false)
  })
})

describe('databaseAt', () => {
  it('takes PostgreSQL URLs only', () => {
    expect(databaseAt('postgres://me@there/db')).toEqual({ connectionString: 'postgres://me@there/db' })
    expect(databaseAt('postgresql://me@there/db')).toEqual({ connectionString: 'postgresql://me@there/db' })
    expect(() => databaseAt('mysql://me@there/db')).toThrow(/postgres:\/\//)
    expect(() => databaseAt('')).toThrow(TypeError)
  })
})
