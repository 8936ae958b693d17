import { createClient } from 'graphql-ws'
import pg from 'pg'
import WebSocket from 'ws'
import { type Bench, type Figures, percentile } from './bench.ts'
import { withDatabase } from './database.ts'
import { cpuMs } from './monitor.ts'
import { killRun, type Server, startRun, startServer } from './server.ts'

const perSecond = 200
const warmUpMs = 3_000
const measuredMs = 8_000
/** A command that has not come by then never will. */
const patienceMs = 30_000

const say = (text: string) => void process.stderr.write(`latency: ${text}\n`)

/** Of each command: when it was sent, and what became of it, in milliseconds of this process's clock. */
type Sent = { sentAt: number; answeredAt?: number; acceptedAt?: number; seenAt?: number }

/**
 * From a command to a subscriber that sees what it did: `startRun` over HTTP, 200 a second, each when it is due and not
 * when the one before it is answered; `runChanged` over WebSocket. The host has one slot, which is taken: the runs wait,
 * so that what is measured is the way of a command and not the start of a process.
 */
export const latency: Bench = {
  name: 'latency',
  async run() {
    const server = await startServer({ RUNWARDEN_CAPACITY: '1' })
    let taken: Awaited<ReturnType<typeof drive>>
    try {
      const occupant = await startRun(server, ['sleep', '100000'])
      try {
        taken = await drive(server)
      } finally {
        await killRun(server, occupant, true)
      }
    } finally {
      await server.stop()
    }
    const peer = await listenNotify()
    const { figures } = taken
    return {
      figures,
      peers: { listenNotify: peer },
      ratios: { listenNotify: (peer.requestedToSeenP50Ms ?? 0) / (figures.requestedToSeenP50Ms ?? 0) },
    }
  },
}

async function drive(server: Server): Promise<{ figures: Figures }> {
  const sent = new Map<string, Sent>()
  const stop = await subscribe(server, (label, acceptedAt) => {
    const command = sent.get(label)
    if (command === undefined || command.seenAt !== undefined) return
    command.seenAt = now()
    command.acceptedAt = acceptedAt
  })
  try {
    const cpuBefore = { ...cpuMs(server.pid), at: now() }
    say(`${perSecond} commands a second for ${(warmUpMs + measuredMs) / 1_000} s`)
    await atRate(warmUpMs + measuredMs, async (index) => {
      const command: Sent = { sentAt: now() }
      sent.set(String(index), command)
      const { startRun } = await server.ask(startDocument, { labels: [{ name: 'nth', value: String(index) }] })
      const { message } = startRun as { message?: string }
      if (message !== undefined) throw new Error(message)
      command.answeredAt = now()
    })
    await until(() => [...sent.values()].every(({ seenAt }) => seenAt !== undefined))
    const cpuAfter = { ...cpuMs(server.pid), at: now() }
    const percent = (who: 'server' | 'postgres') =>
      (100 * (cpuAfter[who] - cpuBefore[who])) / (cpuAfter.at - cpuBefore.at)
    const measured = [...sent.values()].slice(Math.round((warmUpMs / 1_000) * perSecond)) as Required<Sent>[]
    return {
      figures: {
        ...distribution(
          'acceptedToSeen',
          measured.map(({ acceptedAt, seenAt }) => seenAt - acceptedAt),
        ),
        ...distribution(
          'requestedToSeen',
          measured.map(({ sentAt, seenAt }) => seenAt - sentAt),
        ),
        ...distribution(
          'requestedToAnswered',
          measured.map(({ sentAt, answeredAt }) => answeredAt - sentAt),
        ),
        commandsCount: measured.length,
        serverCpuPercent: percent('server'),
        postgresCpuPercent: percent('postgres'),
      },
    }
  } finally {
    stop()
  }
}

/** Milliseconds since the epoch, with fractions. */
const now = () => performance.timeOrigin + performance.now()

const distribution = (name: string, values: readonly number[]): Figures => ({
  [`${name}P50Ms`]: percentile(values, 50),
  [`${name}P99Ms`]: percentile(values, 99),
})

const startDocument = `mutation ($labels: [LabelInput!]) {
  startRun(input: { command: ["true"], labels: $labels }) { ... on Problem { message } }
}`

/** Each when it is due. Resolves when all are done. @throws what the first that failed threw */
async function atRate(ms: number, work: (index: number) => Promise<void>): Promise<void> {
  const begun = performance.now()
  const all: Promise<void>[] = []
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setInterval(() => {
    const passed = performance.now() - begun
    while (all.length < (Math.min(passed, ms) / 1_000) * perSecond) all.push(work(all.length).catch(reject))
    if (passed >= ms) resolve()
  }, 1)
  await promise.finally(() => clearInterval(timer))
  await Promise.all(all)
}

async function until(reached: () => boolean): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (!reached()) {
    if (performance.now() > deadline) throw new Error(`the subscriber has not got everything within ${patienceMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Resolves once it is live. */
async function subscribe({ url, token, ask }: Server, seen: (label: string, acceptedAt: number) => void) {
  const client = createClient({
    url: `${url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
    retryAttempts: 0,
  })
  const query = 'subscription { runChanged { requestedAt labels { name value } } }'
  type Changed = { runChanged: { requestedAt: string; labels: { name: string; value: string }[] } }
  let live = false
  const unsubscribe = client.subscribe<Changed>(
    { query },
    {
      next: ({ data, errors }) => {
        if (errors !== undefined) say(JSON.stringify(errors))
        live = true
        const label = data?.runChanged.labels[0]?.value
        if (label !== undefined) seen(label, Date.parse(data?.runChanged.requestedAt ?? ''))
      },
      complete: () => {},
      error: (error) => say(`the subscription has ended: ${String(error)}`),
    },
  )
  while (!live) await ask(startDocument, { labels: [] })
  return () => {
    unsubscribe()
    void client.dispose()
  }
}

/**
 * The peer: a row, on disk, and a NOTIFY in the same transaction, at the same rate over ten connections; somebody LISTENs.
 * Nothing is authorised, decided, recorded for an audit, folded into six read models or read back from one.
 */
async function listenNotify(): Promise<Figures> {
  say('the peer: insert and NOTIFY')
  return withDatabase(async ({ connection }) => {
    const pool = new pg.Pool({ ...connection, max: 10 })
    const listener = new pg.Client(connection)
    await listener.connect()
    const sent = new Map<string, Sent>()
    listener.on('notification', ({ payload = '' }) => {
      const command = sent.get(payload)
      if (command !== undefined) command.seenAt = now()
    })
    try {
      await pool.query('CREATE TABLE commands (id integer PRIMARY KEY, data json NOT NULL)')
      await listener.query('LISTEN commands')
      const text = `WITH made AS (INSERT INTO commands VALUES ($1, $2)) SELECT pg_notify('commands', $1::text)`
      await atRate(warmUpMs + measuredMs / 2, async (index) => {
        sent.set(String(index), { sentAt: now() })
        await pool.query({ name: 'insert', text, values: [index, { command: ['true'] }] })
      })
      await until(() => [...sent.values()].every(({ seenAt }) => seenAt !== undefined))
      const measured = [...sent.values()].slice(Math.round((warmUpMs / 1_000) * perSecond)) as Required<Sent>[]
      return distribution(
        'requestedToSeen',
        measured.map(({ sentAt, seenAt }) => seenAt - sentAt),
      )
    } finally {
      await listener.end()
      await pool.end()
    }
  })
}
