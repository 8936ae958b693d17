import { describe, expect, it } from 'vitest'
import type { ExportOptions, ExportResult, ImportOptions, ImportResult } from '../../../src/cli/composed.ts'
import { moveProgress } from '../../../src/cli/move-text.ts'
import { cli } from '../../support/cli.ts'

const exported: ExportResult = {
  ...{
    type: 'exported',
    file: '/somewhere/h.ndjson',
    events: 7,
    bytes: 900,
    sha256: 'ab',
    storeId: 's',
    isFinal: true,
  },
}
const imported: ImportResult = {
  ...{ type: 'imported', events: 7, sha256: 'ab', storeId: 't', from: 's', wasThere: false, rebound: true },
}

async function asked<Options>(
  argv: string[],
  name: 'exportHistory' | 'importHistory',
  result: unknown,
  terminal?: number,
) {
  const calls: Options[] = []
  const composed = {
    [name]: async (options: Options) => {
      calls.push(options)
      return result
    },
  }
  return { ...(await cli(argv, { composed, ...(terminal === undefined ? {} : { terminal }) })), calls }
}

describe('runwarden export', () => {
  it('[R42] takes the file from where the user stands, and says what is in it', async () => {
    const end = await asked<ExportOptions>(['export', 'h.ndjson'], 'exportHistory', exported)
    expect(end).toMatchObject({ code: 0, stderr: '', calls: [{ file: '/somewhere/h.ndjson', overwrite: false }] })
    expect(end.stdout).toContain('Exported 7 events, 900 bytes to /somewhere/h.ndjson')
    expect(end.stdout).toContain('final')
    const json = await asked<ExportOptions>(['export', 'h.ndjson', '--overwrite', '--json'], 'exportHistory', exported)
    expect(json.calls).toMatchObject([{ overwrite: true }])
    expect(JSON.parse(json.stdout)).toEqual(exported)
  })

  it.each([['export'], ['export', '-']])('[R42] %s %s leaves stdout to the history', async (...argv) => {
    const end = await asked<ExportOptions>(argv, 'exportHistory', { ...exported, file: null, bytes: null })
    expect(end).toMatchObject({ code: 0, stdout: '', calls: [{ file: undefined }] })
    expect(end.stderr).toContain('Exported 7 events to stdout')
  })

  it('[R42] writes no history to a terminal, and no result into one', async () => {
    expect(await asked(['export'], 'exportHistory', exported, 80)).toMatchObject({ code: 2, calls: [] })
    expect(await asked(['export', '--json'], 'exportHistory', exported)).toMatchObject({ code: 2, calls: [] })
  })
})

describe('runwarden import', () => {
  it('[R42] says where the history is now, and that the runs go on with it', async () => {
    const end = await asked<ImportOptions>(['import', 'h.ndjson'], 'importHistory', imported)
    expect(end).toMatchObject({ code: 0, stderr: '', calls: [{ file: '/somewhere/h.ndjson', rebind: false }] })
    expect(end.stdout).toContain('7 events, now in the event store t')
    expect(end.stdout).toContain('runwarden up')
    const again = await asked(['import', 'h.ndjson', '--rebind'], 'importHistory', { ...imported, wasThere: true })
    expect(again).toMatchObject({ code: 0, calls: [{ rebind: true }] })
    expect(again.stdout).toContain('It was imported before')
  })

  it('[R42] comes from no pipe', async () => {
    expect(await asked(['import', '-'], 'importHistory', imported)).toMatchObject({ code: 2, calls: [] })
  })

  it.each([
    ['usage', 2],
    ['not-found', 3],
    ['conflict', 5],
    ['unavailable', 6],
    ['failure', 1],
  ])('[R42] %s ends with %d, and says what to do', async (reason, code) => {
    const refused = { type: 'refused', reason, message: 'It is so.', wayOut: 'Do this.' }
    const end = await asked(['import', 'h'], 'importHistory', refused)
    expect(end).toMatchObject({ code, stdout: '', stderr: 'runwarden: It is so.\nDo this.\n' })
    expect(await asked(['export', 'h'], 'exportHistory', refused)).toMatchObject({ code, stdout: '' })
  })

  it('[R42] an interruption ends with 130', async () => {
    const end = await asked(['import', 'h'], 'importHistory', { type: 'interrupted' })
    expect(end).toMatchObject({ code: 130, stdout: '' })
    expect(end.stderr).toContain('Finish it with the same command')
  })
})

it('[R42] long work says now and then how far it is, short work nothing', () => {
  const said: string[] = []
  let now = 0
  const progress = moveProgress({ say: (text) => said.push(text) }, () => now)
  for (; now < 12_000; now += 100) progress({ phase: 'import', events: now, total: 20_000 })
  progress({ phase: 'check', events: 1 })
  expect(said).toEqual(['imported: 5000 of 20000 events', 'imported: 10000 of 20000 events'])
})
