import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { expect, it } from 'vitest'
import { createCli } from '../../../src/cli/cli.ts'
import { exitCodes } from '../../../src/cli/exit-codes.ts'

const page = readFileSync(join(import.meta.dirname, '../../../docs/reference/cli.md'), 'utf8')

/** Every command that does something: its words, and its options as they are written. */
function commandsOf(command: Command, path: string[] = []): [name: string, options: string[]][] {
  if (command.commands.length > 0)
    return command.commands.flatMap((child) => commandsOf(child, [...path, child.name()]))
  return [[path.join(' '), command.options.map(({ flags }) => flags)]]
}

/** What the page says: its sections, and the first column of each section's table of options. */
function documented(): [name: string, options: string[]][] {
  const sections = page.split(/^## runwarden /m).slice(1)
  return sections.map((section) => {
    const name = section.slice(0, section.indexOf('\n'))
    return [name, [...section.matchAll(/^\| `(-[^`]+)` \|/gm)].map((match) => match[1] ?? '')]
  })
}

it('[R42] the reference page has exactly the commands and options that there are', () => {
  const unused = async (): Promise<never> => {
    throw new Error('nothing is run here')
  }
  const program = createCli({
    version: '',
    env: {},
    cwd: '/',
    get stdin() {
      return process.stdin
    },
    stdout: process.stdout,
    stderr: process.stderr,
    composed: {
      up: unused,
      down: unused,
      killLocally: unused,
      exportHistory: unused,
      importHistory: unused,
      doctor: unused,
    },
  })
  const commands = commandsOf(program)
  expect(commands.length).toBeGreaterThan(10)
  expect(Object.fromEntries(documented())).toEqual(Object.fromEntries(commands))
})

it('[R42] the reference page has every exit code', () => {
  const table = page.slice(0, page.indexOf('\n## '))
  expect([...table.matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]))).toEqual(Object.values(exitCodes))
})

it('[R42] the configuration page has every variable that the server reads', () => {
  const read = (path: string) => readFileSync(join(import.meta.dirname, '../../..', path), 'utf8')
  const variables = new Set(read('src/config.ts').match(/\b(RUNWARDEN_[A-Z_]+|DATABASE_URL|EVENT_STORE_URL)\b/g))
  expect(variables.size).toBeGreaterThan(5)
  const documented = read('docs/reference/configuration.md')
  expect([...variables].filter((name) => !documented.includes(`| \`${name}\``))).toEqual([])
})
