import { appendFileSync, mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Output } from '../../../src/host/output.ts'
import { type RunPaths, runPaths } from '../../../src/host/run-directory.ts'
import { runId } from '../../support/run-events.ts'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

const cap = 1_000_000
const terabyte = 1024 ** 4
let temporary: ReturnType<typeof makeTemporaryDirectory>
let paths: RunPaths

beforeEach(() => {
  temporary = makeTemporaryDirectory()
  paths = runPaths(temporary.path, runId)
  mkdirSync(paths.directory, { recursive: true })
})
afterEach(() => temporary.remove())

const textAt = (output: Output, offset: number) => {
  const { offset: from, data } = output.read(offset, 100)
  return { from, text: Buffer.from(data).toString() }
}

it('[R26] what is past the cap is moved away whole, and can be read on', async () => {
  writeFileSync(paths.output, `${'x'.repeat(cap)}first\n`)
  const output = await Output.open(paths, cap)
  await output.tend()
  appendFileSync(paths.output, 'second\n')
  expect(output.takeGap()).toBeUndefined()
  expect(textAt(output, cap)).toEqual({ from: cap, text: 'first\n' })
  expect(textAt(output, cap + 6)).toEqual({ from: cap + 6, text: 'second\n' })
})

it('[R8] [R26] an output that one system call made a terabyte long fills no disk: its end is kept, the rest is a gap', async () => {
  writeFileSync(paths.output, 'begin\n')
  truncateSync(paths.output, terabyte)
  appendFileSync(paths.output, 'end\n')
  const output = await Output.open(paths, cap)
  await output.tend()
  expect(output.takeGap()).toMatch(/^\d+ bytes of output were not kept/)
  expect(statSync(paths.olderOutput).size).toBe(cap)
  expect(statSync(paths.output).size).toBe(0)
  expect(output.end()).toBe(terabyte + 4)
  expect(textAt(output, terabyte)).toEqual({ from: terabyte, text: 'end\n' })
  expect(textAt(output, 0).from).toBe(terabyte + 4 - cap)
  appendFileSync(paths.output, 'on\n')
  expect(textAt(await Output.open(paths, cap), terabyte + 4)).toEqual({ from: terabyte + 4, text: 'on\n' })
})
