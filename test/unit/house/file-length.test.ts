import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const project = join(import.meta.dirname, '../../..')
const linesMax = 300

/** Longer because one concept would be torn apart; each with its own limit. */
const longerOnPurpose: Record<string, number> = {}

function tooLong(path: string, text: string): string[] {
  const lines = text.split('\n').length - 1
  const max = longerOnPurpose[path] ?? linesMax
  return lines > max ? [`${path} has ${lines} lines, more than ${max}: it probably holds more than one concept`] : []
}

it('[house] each file holds one concept: no more lines than can be read at a sitting', () => {
  const paths = globSync(['src/**/*.ts', 'schema/**/*.ts', 'projections/**/*.ts', 'bootstrap/*.mjs'], { cwd: project })
  expect(paths.flatMap((path) => tooLong(path, readFileSync(join(project, path), 'utf8')))).toEqual([])
  expect(Object.keys(longerOnPurpose).filter((path) => !paths.includes(path))).toEqual([])
})

it('the check can fail', () => {
  expect(tooLong('src/cli/long.ts', 'x\n'.repeat(301))).toHaveLength(1)
  expect(tooLong('src/cli/long.ts', 'x\n'.repeat(300))).toEqual([])
})
