import { globSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { breachesOf, readSource, specifiersOf } from '../../support/one-way-imports.ts'

const project = join(import.meta.dirname, '../../..')
const sources = globSync(['src/**/*.ts', 'schema/**/*.ts', 'projections/**/*.ts'], { cwd: project })

it('[house] every room imports one way only', () => {
  expect(sources.length).toBeGreaterThan(10)
  expect(sources.flatMap((path) => breachesOf(readSource(project, join(project, path))))).toEqual([])
})

describe('the checker can fail', () => {
  const breaches = (path: string, text: string) => breachesOf({ path, text })

  it('sees every way to name a module, type-only ones too', () => {
    const text = `
      import a from './a.ts'
      import type { B } from './b.ts'
      export { c } from './c.ts'
      export type * from './d.ts'
      const e = await import('./e.ts')
      type F = import('./f.ts').F
      // import './in-a-comment.ts'
      const g = "import './in-a-string.ts'"`
    expect(specifiersOf(text)).toEqual(['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts'])
  })

  it('refuses an import against the direction', () => {
    const line = "import type { Control } from '../control/control.ts'"
    expect(breaches('src/domain/decide.ts', line)).toHaveLength(1)
    expect(breaches('src/host/host.ts', line)).toHaveLength(1)
    expect(breaches('src/cli/cli.ts', line)).toHaveLength(1)
    expect(breaches('src/server/server.ts', line)).toEqual([])
    expect(breaches('src/main.ts', "import './control/control.ts'")).toEqual([])
  })

  it('follows a path across the folders outside src', () => {
    expect(breaches('projections/runs.ts', "import '../src/event-store/event-store.ts'")).toEqual([])
    expect(breaches('projections/runs.ts', "import '../src/control/control.ts'")).toHaveLength(1)
    expect(breaches('src/control/start.ts', "import '../../schema/builder.ts'")).toHaveLength(1)
  })

  it('refuses I/O in the domain, the composition root in a room, and a room that nobody planned', () => {
    expect(breaches('src/domain/ids.ts', "import { readFileSync } from 'node:fs'")).toHaveLength(1)
    expect(breaches('src/domain/ids.ts', "import { z } from 'zod'")).toEqual([])
    expect(breaches('src/control/start.ts', "import '../config.ts'")).toHaveLength(1)
    expect(breaches('src/control/start.ts', "import '../../test/support/clock.ts'")).toHaveLength(1)
    expect(breaches('src/utils/strings.ts', '')).toHaveLength(1)
  })
})
