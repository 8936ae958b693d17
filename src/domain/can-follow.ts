import { standsStill } from './pause.ts'
import { sameProcess } from './process-identity.ts'
import type { Receipt } from './receipt.ts'
import type { RunEventBody } from './run-events.ts'
import { isTerminal, type RunState } from './run-state.ts'

/** Whether the event may change what is known of the run: an end is for good, and rests on proof. */
export function canFollow(event: RunEventBody, state: RunState): boolean {
  const over = isTerminal(state.status)
  switch (event.type) {
    case 'RunStarted':
      return !over && state.root === null
    case 'ProcessExited':
      return !over && state.rootExit === null
    case 'RunKilled':
    case 'RunCompleted':
    case 'RunLost':
    case 'RunForceCompleted':
      return !over && proves(event.data.receipt, state)
    case 'RunFailed':
      return (
        !over && (event.data.receipt === null ? neverLaunched(event.data, state) : proves(event.data.receipt, state))
      )
    case 'KillUnverified':
      return !over && event.data.receipt.runId === state.runId
    case 'WorkspaceSalvaged':
    case 'CleanupStepCompleted':
    case 'CleanupStepFailed':
    case 'RunCleaned':
      return over && state.cleanup.doneAt === null
    case 'RunPaused':
      return !over && state.root !== null && !standsStill(state)
    case 'RunResumed':
      return !over && standsStill(state)
    case 'RestartRequested':
      return state.restart === null
    case 'RunRestarted':
      return over && state.restartedAs === null
    case 'LateResultObserved':
    case 'TelemetrySummarised':
      return true
    default:
      return !over
  }
}

/** A receipt proves the death of the run it was made for, and of the very process that was started. */
function proves(receipt: Receipt, state: RunState): boolean {
  if (!receipt.proven || receipt.runId !== state.runId) return false
  return state.root === null || (receipt.root !== null && sameProcess(receipt.root, state.root))
}

const neverLaunched = (data: { reason: string }, state: RunState) =>
  data.reason === 'LAUNCH_FAILED' && state.root === null
