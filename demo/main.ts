import { Stage, until } from './stage.ts'

/**
 * `npm run demo`: the incident that Runwarden was made for, with real processes and scaled-down thresholds (seconds for
 * what are minutes in the policies). Ends with status 1 when anything does not turn out as it is told.
 */
const scaled = ['--stuck-after', '10s', '--slow-after', '4s', '--warn-after', '3s', '--total-timeout', '10m']

const tell = (text: string) => process.stdout.write(`\n${text}\n`)

type Shown = { status: string; verdict: { verdict: string }; turns: number }

async function play(stage: Stage): Promise<void> {
  const show = async (id: string): Promise<Shown> => JSON.parse((await stage.ask('show', id, '--json')).stdout)
  const is = (id: string, holds: (run: Shown) => boolean) => async () => {
    stage.look()
    return holds(await show(id))
  }
  const start = async (workflow: string, ...options: string[]): Promise<string> => {
    const script = `./${workflow.toLowerCase()}.sh`
    const said = await stage.type('run', '--workflow', workflow, ...scaled, ...options, '--', 'sh', script)
    if (said.code !== 0) throw new Error(`${workflow} did not start`)
    return said.stdout.trim()
  }

  tell('1. Four agents are started. Thresholds: 3 s warns, 4 s is slow, 10 s in initialization is stuck.')
  const builder = await start('BUILDER', '--on-stuck', 'alert')
  const lina = await start('LINA')
  const architect = await start('ARCHITECT')
  const test = await start('TEST')

  tell('2. TEST makes its turns. BUILDER and LINA hang in initialization, as in the incident.')
  await until('a warning about LINA', async () => (await stage.ask('alerts', '--run', lina)).stdout.includes(lina))
  await stage.type('ls', '--all')
  await stage.type('alerts')

  tell('3. BUILDER is ended by hand. It ignores SIGTERM; after its grace comes SIGKILL, then the proof.')
  await expect(stage.type('kill', builder, '--reason', '0 turns, same last line as the others'), 'the kill of BUILDER')

  tell('4. LINA, with its setsid child and its double-forked daemon, is left to the monitor.')
  await until(
    'the monitor to kill LINA',
    is(lina, ({ status }) => status === 'KILLED'),
  )
  await stage.type('show', lina)
  await stage.type('audit', lina)

  tell('5. ARCHITECT was slow as well. But it progresses, and nobody has touched it.')
  await until(
    'ARCHITECT to make turns',
    is(architect, ({ turns }) => turns > 1),
  )
  const slow = await show(architect)
  if (slow.status !== 'RUNNING' || slow.verdict.verdict !== 'SLOW') throw new Error(`ARCHITECT is ${slow.status}`)
  await until(
    'TEST to complete',
    is(test, ({ status }) => status === 'COMPLETED'),
  )
  await stage.type('ls', '--all')

  tell('6. BUILDER is restarted, with a better prompt.')
  const restarted = await stage.type('restart', builder, '--prompt', 'Build it, but skip the installation.')
  const again = restarted.stdout.trim()
  await until(
    'the new BUILDER to complete',
    is(again, ({ status }) => status === 'COMPLETED'),
  )
  await stage.type('show', again)

  tell('7. Post-mortem: LINA at three moments of its life, and all of it.')
  for (const moment of ['+1s', '+6s', '+11s']) await stage.type('show', lina, '--at', moment)
  await stage.type('timeline', lina)

  tell('8. The end: ARCHITECT is completed by decision, and nothing may be left.')
  await expect(stage.type('complete', architect, '--as', 'completed', '--reason', 'end of the demo'), 'ARCHITECT')
}

async function expect(said: Promise<{ code: number }>, what: string): Promise<void> {
  const { code } = await said
  if (code !== 0) throw new Error(`${what} ended with status ${code}`)
}

async function demo(): Promise<void> {
  const began = Date.now()
  tell('Runwarden, the incident: a server with a database of its own is started in a temporary directory.')
  const stage = await Stage.open()
  try {
    await play(stage)
    const survivors = stage.survivors()
    if (survivors.length > 0) throw new Error(`still alive: ${survivors.join(', ')}`)
    tell(`${stage.seen} processes of runs were seen in /proc. None of them lives, and none with their marker.`)
  } finally {
    await stage.close()
  }
  if (!stage.isRemoved) throw new Error('the temporary directory is still there')
  tell(`The server, its database and the directory are gone. It took ${Math.round((Date.now() - began) / 1000)} s.`)
}

await demo()
