// owner.ts DIRECTORY [--take-over]: claims the data directory, says what came of it, releases it on SIGTERM.
import { claimDataDirectory } from '../../src/os/ownership.ts'

const [directory = '', option] = process.argv.slice(2)
const claim = await claimDataDirectory(directory, { takeOver: option === '--take-over' })
process.stdout.write(`${JSON.stringify(claim.ok ? { ok: true } : claim)}\n`)
if (claim.ok) {
  const alive = setInterval(() => {}, 60_000)
  process.once('SIGTERM', () => void claim.owner.release().finally(() => clearInterval(alive)))
  await claim.owner.update({ url: 'http://127.0.0.1:4680' })
  process.stdout.write('{"url":true}\n')
}
