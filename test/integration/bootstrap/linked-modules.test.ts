import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeTemporaryDirectory } from '../../support/temporary-directory.ts'

/** Two checkouts, the second with a link to the packages of the first. */
let directory: ReturnType<typeof makeTemporaryDirectory>
let others: string
let project: string
const lock = JSON.stringify({ name: 'p', version: '1.0.0', lockfileVersion: 3, packages: { '': { name: 'p' } } })

beforeEach(() => {
  directory = makeTemporaryDirectory()
  others = join(directory.path, 'first', 'node_modules')
  project = join(directory.path, 'second')
  mkdirSync(join(others, 'a-package'), { recursive: true })
  cpSync(join(import.meta.dirname, '../../../bootstrap/run.mjs'), join(project, 'bootstrap', 'run.mjs'))
  writeFileSync(join(project, 'package.json'), '{"name":"p","version":"1.0.0","type":"module"}')
  writeFileSync(join(project, 'package-lock.json'), lock)
  writeFileSync(join(project, 'program.mjs'), 'process.stdout.write("begun")')
  symlinkSync(others, join(project, 'node_modules'))
})
afterEach(() => directory.remove())

const start = () =>
  spawnSync(process.execPath, [join(project, 'bootstrap', 'run.mjs'), 'program.mjs'], { encoding: 'utf8' })

it("[house] a start refuses to install into another checkout's packages through a link", () => {
  writeFileSync(join(others, '.runwarden-installed'), 'of another lock file')
  const { status, stdout, stderr } = start()
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toContain(`node_modules is a link to ${others}`)
  expect(stderr).toMatch(/remove the link/i)
  expect(readdirSync(others).toSorted()).toEqual(['.runwarden-installed', 'a-package'])
  expect(readdirSync(project)).not.toContain('.runwarden-installing')
})

it('[house] a link to packages that match is used as it is', () => {
  writeFileSync(join(others, '.runwarden-installed'), createHash('sha256').update(lock).digest('hex'))
  expect(start()).toMatchObject({ status: 0, stdout: 'begun' })
})
