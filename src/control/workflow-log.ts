import { versionOf, type WorkflowVersion } from '../domain/workflow.ts'
import { readWorkflowEvent, workflowStream } from '../domain/workflow-events.ts'
import type { EventStore } from '../event-store/event-store.ts'

/** A version read from the workflow's own stream: the only thing that decisions rest on. */
export type LoadedWorkflow = {
  workflow: WorkflowVersion
  /** Of its event. */
  revision: number
  position: number
}

/** The version that is in force. undefined: there is no such workflow. @throws StoreUnavailable */
export async function currentWorkflow(store: EventStore, name: string): Promise<LoadedWorkflow | undefined> {
  for await (const event of store.readStream(workflowStream(name), { direction: 'backwards' })) {
    const defined = readWorkflowEvent(event)
    if (defined !== undefined) {
      return { workflow: versionOf(defined), revision: event.revision, position: event.position }
    }
  }
  return undefined
}

/** undefined: there is no such workflow, or it has no such version. @throws StoreUnavailable */
export async function workflowVersion(
  store: EventStore,
  name: string,
  version: number,
): Promise<WorkflowVersion | undefined> {
  // Versions have no gap, so none stands before its number in the stream.
  for await (const event of store.readStream(workflowStream(name), { from: version - 1 })) {
    const defined = readWorkflowEvent(event)
    if (defined?.data.version === version) return versionOf(defined)
  }
  return undefined
}
