import { alertEvents } from './alert-events.ts'
import { auditEvents } from './audit-events.ts'
import { canaryEvents } from './canary-events.ts'
import { importEvents } from './import-events.ts'
import type { EventFamily } from './read-event.ts'
import { runEvents } from './run-events.ts'
import { workflowEvents } from './workflow-events.ts'

/** Every event that is ever written, by the kind of its streams. A type belongs to one family only. */
export const eventFamilies: Readonly<Record<string, EventFamily>> = {
  run: runEvents,
  audit: auditEvents,
  alert: alertEvents,
  canary: canaryEvents,
  workflow: workflowEvents,
  import: importEvents,
}
