import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const project = join(import.meta.dirname, '../..')

it('[R1] [R2] [R6] [R17] [R24] the demo tells the incident from beginning to end, and proves that nothing is left', async () => {
  const child = spawn(process.execPath, [join(project, 'demo/main.ts')], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text))
  const [code] = await once(child, 'close')
  expect(code, said).toBe(0)
  // What the demo asserts by itself ends with status 1; this is the story that a reader is told.
  for (const line of [
    'PROVEN DEAD',
    'Initialization timeout',
    'takes its place',
    'REPLAY',
    'None of them lives',
    'are gone',
  ]) {
    expect(said).toContain(line)
  }
}, 180_000)
