import { nearestNames } from '../domain/nearest.ts'
import type { UnknownWorkflow } from './control.ts'
import type { UseCaseDeps } from './use-case.ts'
import { currentWorkflow } from './workflow-log.ts'

/** Why a run cannot be started by this name, and what was perhaps meant. @throws StoreUnavailable */
export async function unknownWorkflow(
  deps: Pick<UseCaseDeps, 'store' | 'workflowNamesLike'>,
  workflow: string,
  version?: number,
): Promise<UnknownWorkflow> {
  const current = version === undefined ? undefined : await currentWorkflow(deps.store, workflow)
  if (current !== undefined) {
    const last = current.workflow.version
    const versions = last === 1 ? 'its only version is 1' : `its versions are 1 to ${last}`
    const message = `${workflow} has no version ${version}; ${versions}.`
    return { type: 'UnknownWorkflow', message, workflow, nearest: [] }
  }
  const nearest = nearestNames(workflow, await deps.workflowNamesLike(workflow))
  const hint = nearest.length === 0 ? '' : ` Did you mean ${nearest.join(' or ')}?`
  const message = `No workflow ${workflow} is defined.${hint} Define it, or give a command to run under that name.`
  return { type: 'UnknownWorkflow', message, workflow, nearest }
}
