import { expect, it } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { StoreUnavailable } from '../../src/event-store/event-store.ts'
import { openStore } from '../../src/store-connection.ts'
import { recordingLog } from '../support/control-world.ts'
import { createTestDatabase } from '../support/database.ts'
import { makeTemporaryDirectory } from '../support/temporary-directory.ts'

it('[R14] a store that goes away again just after it was reached can be used once it is back', async () => {
  const database = await createTestDatabase()
  const directory = makeTemporaryDirectory()
  const { log } = recordingLog()
  const connection = await openStore(readConfig({}), database.connection, directory.path, log)
  try {
    expect(connection.away()).toBeDefined()
    const whileOpened: (string | undefined)[] = []
    await connection.connect(async () => {
      whileOpened.push(connection.away())
      if (whileOpened.length < 3) throw new StoreUnavailable('The cable was pulled.')
    }, AbortSignal.timeout(10_000))
    expect(whileOpened).toEqual([undefined, undefined, undefined])
    expect(connection.away()).toBeUndefined()
  } finally {
    await connection.close()
    directory.remove()
    await database.drop()
  }
})
