import { expect, it } from 'vitest'
import { CliError, exitCodes } from '../../../src/cli/exit-codes.ts'
import { followAcrossRestarts } from '../../../src/cli/follow.ts'

const lost = () => new CliError(exitCodes.unavailable, 'The connection was lost.')

/** Of how many connections were tried until it gave up. */
async function tried(connects: boolean): Promise<number> {
  let count = 0
  const followed = {
    // biome-ignore lint/correctness/useYield: a connection that is lost before anything came
    async *subscribe(onConnected: () => void): AsyncGenerator<never> {
      count += 1
      if (connects && count < 40) onConnected()
      throw lost()
    },
    isOver: async () => false,
    onLost() {},
  }
  const items = followAcrossRestarts(followed, new AbortController().signal, async () => {})
  await expect(items.next()).rejects.toThrow('The connection was lost.')
  return count
}

it('[R23] gives up on a server that stays away, and never on one that comes back each time', async () => {
  expect(await tried(false)).toBe(10)
  expect(await tried(true)).toBe(38 + 10)
})
