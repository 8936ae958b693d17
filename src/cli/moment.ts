import { InvalidArgumentError } from 'commander'
import { z } from 'zod'
import type { RunDetails } from './answers.ts'
import type { Connection } from './connection.ts'
import { documents } from './documents.ts'
import { formatDuration, parseDuration } from './durations.ts'
import { CliError, exitCodes } from './exit-codes.ts'
import { fetchRun } from './fetch-run.ts'

/** A moment in the life of a run, as people give it. */
export type Moment = { revision: number } | { time: string } | { agoMs: number } | { afterStartMs: number }

/** What `--help` says of it. */
export const momentHelp = 'as it was then: an ISO time, 10m (ago), +90s (after its start), or the number of an event'

/**
 * `2026-11-21T03:14:15Z`; `10m` or `-10m` ago; `+90s` after the run's start; `12` or `#12`: right after that event.
 * A time says its zone: half of those who read it later are elsewhere.
 * @throws InvalidArgumentError
 */
export function parseMoment(text: string): Moment {
  const revision = /^#?(\d{1,10})$/.exec(text)?.[1]
  if (revision !== undefined && Number(revision) < 2 ** 31) return { revision: Number(revision) }
  const time = text.replace(/T\d\d:\d\d(?=Z|[+-])/, '$&:00')
  if (isoSchema.safeParse(time).success) return { time: new Date(time).toISOString() }
  const [, sign, duration] = /^([+-]?)(\d.*[a-z])$/.exec(text) ?? []
  if (duration === undefined) {
    throw new InvalidArgumentError(
      'Give a time with its zone (2026-11-21T03:14:15Z), how long ago (10m), how long after its start (+90s), or the ' +
        'number of an event (12).',
    )
  }
  return sign === '+' ? { afterStartMs: parseDuration(duration) } : { agoMs: parseDuration(duration) }
}

/** Knows the days of each month: Date.parse takes 31 February for 3 March. */
const isoSchema = z.iso.datetime({ offset: true })

/** A run as it was, and as it is now. `toCome`: the moment that was asked for is; the replay is of now instead. */
export type Replay = { was: RunDetails & { asOf: string }; now: RunDetails; toCome: boolean }

/** @throws CliError not found, also where the run had not been requested yet */
export async function replayRun(server: Connection, id: string, moment: Moment): Promise<Replay> {
  const now = await fetchRun(server, id)
  const variables = 'revision' in moment ? moment : { time: timeOf(moment, now) }
  const { runAt } = await server.request<{ runAt: Replay['was'] | null }>(documents.runAt, { id, ...variables })
  if (runAt !== null) return { was: runAt, now, toCome: 'time' in variables && variables.time > runAt.asOf }
  const message =
    'time' in variables
      ? `${id} had not been requested yet at ${variables.time}: that was at ${now.requestedAt}.`
      : `${id} has no event ${variables.revision}; its newest is ${now.revision}.`
  throw new CliError(exitCodes.notFound, message, `See what happened when: runwarden timeline ${id}`)
}

function timeOf(moment: Exclude<Moment, { revision: number }>, run: RunDetails): string {
  if ('time' in moment) return moment.time
  const ms = 'agoMs' in moment ? Date.now() - moment.agoMs : startOf(run) + moment.afterStartMs
  // A slip of the finger is no reason to end with "Invalid time value".
  return new Date(Math.min(Math.max(ms, 0), yearMax)).toISOString()
}

const yearMax = Date.parse('9999-12-31T23:59:59.999Z')

const startOf = (run: RunDetails) => Date.parse(run.startedAt ?? run.requestedAt)

const retired =
  '. Heartbeats of that time are no longer kept (retention): progress, usage, output and resources of then are not known'

/** Says that this is not the present, and which moment it is. */
export function replayLine({ was, now, toCome }: Replay, nowMs: number): string {
  const at = Date.parse(was.asOf)
  const fromStart = at - startOf(now)
  const start = now.startedAt === null ? 'its request' : 'its start'
  const where = `${formatDuration(Math.abs(fromStart))} ${fromStart < 0 ? 'before' : 'after'} ${start}`
  return (
    `${toCome ? 'that moment is still to come: ' : ''}as it was at ${was.asOf}: ${where}, ${formatDuration(nowMs - at)} ago, after event ${was.revision} of ` +
    `${now.revision}; ages are those of then${was.heartbeatsRetired ? retired : ''}`
  )
}
