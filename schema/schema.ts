import { builder } from './builder.ts'
import './audit.ts'
import './classification.ts'
import './force-complete.ts'
import './host.ts'
import './kill.ts'
import './output.ts'
import './projections.ts'
import './register.ts'
import './restart.ts'
import './run-event.ts'
import './run-queries.ts'
import './run-timeline.ts'
import './start.ts'
import './viewer.ts'
import './workflow.ts'

/** The whole API; schema.graphql beside this file is printed from it. */
export const schema = builder.toSchema()
