import { alerts } from './alerts.ts'
import { audit } from './audit.ts'
import type { Projection } from './projection.ts'
import { runTimeline } from './run-timeline.ts'
import { runs } from './runs.ts'
import { workflowProcesses } from './workflow-processes.ts'
import { workflows } from './workflows.ts'

/** Every read model there is. */
export const allProjections: readonly Projection[] = [runs, workflowProcesses, runTimeline, audit, alerts, workflows]
