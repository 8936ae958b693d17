import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { DesiredKill } from '../../../src/domain/host-link.ts'
import { LadderLog } from '../../../src/host/ladder-log.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const kill = (kind: DesiredKill['kind'], second: number): DesiredKill => ({
  kind,
  requestedAt: `2026-11-21T03:00:0${second}.000Z`,
  graceMs: 0,
  proofDeadlineMs: 5_000,
})

it('[R10] [M1] a wish goes further when it is stronger, or asked for anew; never when it is weaker or the same', async () => {
  const directory = makeTemporaryDirectory()
  const path = join(directory.path, 'ladder.json')
  const log = await LadderLog.open(path, () => {})
  try {
    expect(await log.want(kill('graceful', 1))).toBe(true)
    expect(await log.want(kill('graceful', 1))).toBe(false)
    expect(await log.want(kill('force', 2))).toBe(true)
    expect(await log.want(kill('graceful', 3))).toBe(false)
    expect(await log.want(kill('force', 4))).toBe(true)
    expect(log.kill).toEqual(kill('force', 4))
  } finally {
    await log.close()
  }
  const again = await LadderLog.open(path, () => {})
  expect(again.kill).toEqual(kill('force', 4))
  await again.close()
  directory.remove()
})
