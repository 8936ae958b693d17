import type pg from 'pg'
import { z } from 'zod'
import type { Actor } from '../../domain/event.ts'
import type { WorkflowVersion } from '../../domain/workflow.ts'
import { type WorkflowDefinition, workflowNameSchema } from '../../domain/workflow-events.ts'
import { ask } from './ask.ts'
import { cursorsOf } from './cursor.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

type WorkflowRow = {
  name: string
  version: number
  definition: WorkflowDefinition
  defined_at: Date
  defined_by_kind: Actor['kind']
  defined_by_id: string
}

const columns = 'name, version, definition, defined_at, defined_by_kind, defined_by_id'

/** Without a version: the one in force. undefined: no such workflow or version. @throws StoreUnavailable */
export async function findWorkflow(
  pool: pg.Pool,
  name: string,
  version?: number,
): Promise<WorkflowVersion | undefined> {
  if (!workflowNameSchema.safeParse(name).success) return undefined
  const rows =
    version === undefined
      ? await ask<WorkflowRow>(pool, `SELECT ${columns} FROM workflows WHERE name = $1`, [name])
      : await ask<WorkflowRow>(pool, `SELECT ${columns} FROM workflow_versions WHERE name = $1 AND version = $2`, [
          name,
          version,
        ])
  return rows.map(versionOfRow)[0]
}

const cursors = cursorsOf('workflows', workflowNameSchema)

/** Each as it is in force, by name. @throws InvalidCursor, StoreUnavailable */
export async function listWorkflows(pool: pg.Pool, page: PageRequest): Promise<Page<WorkflowVersion>> {
  const after = page.after == null ? '' : cursors.decode(page.after)
  const rows = await ask<WorkflowRow>(pool, `SELECT ${columns} FROM workflows WHERE name > $1 ORDER BY name LIMIT $2`, [
    after,
    page.first + 1,
  ])
  return pageOf(rows.map(versionOfRow), page.first, ({ name }) => cursors.encode(name))
}

/** Each workflow has cursors of its own, because in another they would skip versions. */
const cursorsIn = (name: string) =>
  cursorsOf(
    `versions of ${name}`,
    z
      .number()
      .int()
      .min(1)
      .max(2 ** 31 - 1),
  )

/** Newest first; none where there is no such workflow. @throws InvalidCursor, StoreUnavailable */
export async function listWorkflowVersions(
  pool: pg.Pool,
  name: string,
  page: PageRequest,
): Promise<Page<WorkflowVersion>> {
  const versionCursors = cursorsIn(name)
  const before = page.after == null ? null : versionCursors.decode(page.after)
  const rows = await ask<WorkflowRow>(
    pool,
    `SELECT ${columns} FROM workflow_versions WHERE name = $1 AND ($2::integer IS NULL OR version < $2)
     ORDER BY version DESC LIMIT $3`,
    [name, before, page.first + 1],
  )
  return pageOf(rows.map(versionOfRow), page.first, ({ version }) => versionCursors.encode(version))
}

/** To compare with a name that there is not: those of about its length, which a slip of the pen hardly changes. */
export async function namesLike(pool: pg.Pool, name: string): Promise<string[]> {
  const rows = await ask<{ name: string }>(
    pool,
    'SELECT name FROM workflows ORDER BY abs(length(name) - length($1)), name LIMIT 500',
    [name],
  )
  return rows.map((row) => row.name)
}

const versionOfRow = (row: WorkflowRow): WorkflowVersion => ({
  name: row.name,
  version: row.version,
  definition: row.definition,
  definedAt: row.defined_at.toISOString(),
  definedBy: { kind: row.defined_by_kind, id: row.defined_by_id },
})
