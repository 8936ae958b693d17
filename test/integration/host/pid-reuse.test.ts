import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Program, startProgram } from '../../support/program.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

/** Namespaces need root; ns_last_pid is a part of checkpoint and restore, which not every kernel was built with. */
const isPossible = process.getuid?.() === 0 && existsSync('/proc/sys/kernel/ns_last_pid')
const within = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', '"$@"; exit', 'sh']

let program: Program | undefined
let directory: ReturnType<typeof makeTemporaryDirectory>
beforeEach(() => {
  directory = makeTemporaryDirectory()
})
afterEach(async () => {
  await program?.end('SIGKILL')
  directory.remove()
})

describe.skipIf(!isPossible).each(['auto', 'off'])('[R6] pids that were really used again, cgroups %s', (cgroups) => {
  it('strangers with the pid, session and group of dead members, or of the root, are never touched', async () => {
    program = startProgram('pid-reuse.ts', [join(directory.path, 'host'), cgroups], { within })
    const members = await program.next()
    expect(members).toEqual({ name: 'members', proven: true, strangers: 4, alive: 4, touched: [] })
    const root = await program.next()
    expect(root).toEqual({ name: 'root', proven: true, strangers: 2, alive: 2, touched: [] })
    expect(await program.next()).toEqual({ ended: '' })
  }, 60_000)
})
