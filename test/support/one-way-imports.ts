import { readFileSync } from 'node:fs'
import { dirname, posix, relative, resolve } from 'node:path'
import ts from 'typescript'

/**
 * What each room may import from the others: DESIGN.md «The rooms».
 * `os` reads the machine (process identities, where the data lives) and knows nothing but the domain.
 */
const mayImport: Record<string, readonly string[]> = {
  domain: [],
  os: ['domain'],
  postgres: ['domain', 'os'],
  'event-store': ['domain', 'postgres'],
  projections: ['domain', 'postgres', 'event-store'],
  control: ['domain', 'postgres', 'event-store', 'projections'],
  schema: ['domain', 'postgres', 'event-store', 'projections', 'control'],
  server: ['domain', 'postgres', 'event-store', 'projections', 'control', 'schema'],
  host: ['domain', 'os'],
  // The command line speaks GraphQL to the server; what it cannot ask for is composed by main.ts.
  cli: ['domain', 'os'],
}

/** The domain is pure: no I/O, so no module of Node's, and no package but the one that describes its data. */
const packagesOfDomain = ['zod']

export type SourceFile = {
  /** Relative to the project, with `/`: `src/domain/receipt.ts`. */
  path: string
  text: string
}

export function readSource(project: string, path: string): SourceFile {
  return { path: relative(project, resolve(project, path)).replaceAll('\\', '/'), text: readFileSync(path, 'utf8') }
}

/** The room of a file; `house` for src/main.ts and src/config.ts, which see all; undefined outside the rooms. */
export function roomOf(path: string): string | undefined {
  const parts = path.split('/')
  if (parts[0] === 'schema' || parts[0] === 'projections') return parts[0]
  if (parts[0] !== 'src') return undefined
  return parts.length === 2 ? 'house' : parts[1]
}

/** Every module that a file names: imports and re-exports, type-only ones too, `import('…')` as an expression or a type. */
export function specifiersOf(text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map((imported) => imported.fileName)
}

/** Each breach as one readable line; none: the house is in order. */
export function breachesOf({ path, text }: SourceFile): string[] {
  const room = roomOf(path)
  if (room === undefined) return [`${path}: lies in no room`]
  if (room === 'house') return []
  const allowed = mayImport[room]
  if (allowed === undefined) return [`${path}: "${room}" is no room of DESIGN.md`]
  return specifiersOf(text).flatMap((specifier) => {
    if (!specifier.startsWith('.')) {
      const pure = room !== 'domain' || packagesOfDomain.includes(specifier)
      return pure ? [] : [`${path}: domain is pure, it may not import "${specifier}"`]
    }
    const target = posix.normalize(`${dirname(path)}/${specifier}`)
    const other = roomOf(target)
    if (other === room || (other !== undefined && allowed.includes(other))) return []
    return [`${path}: ${room} may not import ${other ?? 'what lies outside the rooms'} ("${specifier}")`]
  })
}
