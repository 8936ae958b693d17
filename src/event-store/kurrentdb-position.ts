import type { Position } from '@kurrent/kurrentdb-client'

/**
 * A position of KurrentDB in one number that keeps what matters of both its parts, and their order.
 *
 * Every event that is written today has commit = prepare = its place in the log, in bytes: an odd number, "at this
 * event". A checkpoint of a filtered subscription has the place where the next event will be, with prepare 0: an even
 * number, "just before this place". Kept as (place, place) it would leave out the event there; kept as place - 1 the
 * server would refuse it, for that is no record's beginning.
 *
 * @throws RangeError beyond 4 PB of log, and for what is no position (servers before 22.6 give none in streams).
 */
export function toNumber(position: Position | undefined): number {
  if (position === undefined) throw new RangeError('KurrentDB gave an event without its position')
  const { commit, prepare } = position
  const number = commit * 2n + (prepare === commit ? 1n : 0n)
  if (commit < 0n || number > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`KurrentDB gave a position that cannot be kept: commit ${commit}, prepare ${prepare}`)
  }
  return Number(number)
}

/** 0 is before everything. */
export function toPosition(number: number): Position {
  const commit = BigInt(Math.floor(number / 2))
  return { commit, prepare: number % 2 === 1 ? commit : 0n }
}
