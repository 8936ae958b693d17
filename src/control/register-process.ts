import type { RequestRun } from '../domain/decide.ts'
import type { RunId } from '../domain/ids.ts'
import { resolvePolicy } from '../domain/policy.ts'
import type { RegisterProcessResult, RequestContext } from './control.ts'
import { execute } from './execute.ts'
import { parseInput, registerProcessInputSchema } from './inputs.ts'
import { newRunId } from './start-run.ts'
import type { UseCaseDeps } from './use-case.ts'

const action = 'registerProcess' as const

/** It knows of no progress file, so that 0 turns say little of it: unless asked to, nobody kills it by itself. */
const observing = { onStuck: 'alert', onTotalTimeout: 'alert' } as const

/** R12: puts a process that something else started under supervision, as a run like any other. */
export async function registerProcess(
  deps: UseCaseDeps,
  context: RequestContext,
  input: unknown,
): Promise<RegisterProcessResult> {
  const parsed = parseInput(registerProcessInputSchema, input)
  if (!parsed.ok) {
    await deps.audit.denied(context, { action, target: null, reason: null, details: {} }, parsed.failure.message)
    return parsed.failure
  }
  const { pid, workflow, workspacePath, policy } = parsed.value
  const runId = parsed.value.runId ?? newRunId()
  const attempt = { action, target: runId, reason: null, details: { pid, workflow } }
  const inspected = await deps.host.inspect(pid)
  if (!inspected.ok) {
    const { code, message } = inspected.refusal
    await deps.audit.denied(context, attempt, `${code}: ${message}`)
    return { type: 'RegistrationRefused', message, code, pid }
  }
  const command: RequestRun = {
    type: 'RequestRun',
    runId,
    workflow,
    host: deps.host.hostId,
    work: {
      kind: 'supervise',
      root: inspected.root,
      workspacePath: workspacePath ?? null,
      ...(inspected.launch === undefined ? {} : { launch: inspected.launch }),
    },
    policy: resolvePolicy(observing, policy),
    labels: {},
  }
  return deps.audit.allowed<RegisterProcessResult>(context, attempt, async () => {
    const executed = await execute(deps.store, context, runId, command, deps.now)
    if (!executed.ok) {
      const result = taken(runId)
      return { result, outcome: result.type, detail: result.message }
    }
    const run = await deps.projected(executed.state, executed.position)
    return {
      result: { type: 'RegisterProcessAnswer' as const, run },
      outcome: 'ACCEPTED',
      detail: `Process ${pid} is supervised as ${runId}.`,
    }
  })
}

const taken = (runId: RunId) => ({
  type: 'RunIdTaken' as const,
  message: `${runId} is a run already, and run ids are never reused. Leave runId out to get a new one.`,
  runId,
})
