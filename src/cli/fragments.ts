/** What several documents ask for: fragments with those that they use themselves. */

export const runRow = /* GraphQL */ `
  fragment RunRow on Run {
    id workflow status killPhase phase turns progressPercent pid host revision
    requestedAt startedAt endedAt lastHeartbeatAt lastOutput
    kill { deferral { until endedAt } }
    verdict { verdict rule explanation evidence { fact value } }
  }`

const policyFields = /* GraphQL */ `
  fragment PolicyFields on Policy {
    preset graceMs deferLimitMs slowAfterMs initializationWarningMs stuckAfterMs onStuck totalTimeoutMs onTotalTimeout
  }`

const restartLinks = /* GraphQL */ `
  fragment RestartLinks on Run { restartOf { id status } restart { newRunId } restartedAs { id status } }`

const workspaceFields = /* GraphQL */ `
  fragment WorkspaceFields on Workspace { kind path repository branch }`

export const runDetails = /* GraphQL */ `
  fragment RunDetails on Run {
    ...RunRow
    ...RestartLinks
    origin workflowVersion command workspacePath workspace { ...WorkspaceFields } labels { name value }
    requestedBy { kind id } asOf heartbeatsRetired
    policy { ...PolicyFields } limits { limit requested enforcedBy detail }
    outputBytes processes cpuMs rssBytes openFiles ioReadBytes ioWriteBytes
    peakRssBytes peakProcesses peakOpenFiles cacheReadRatio lateResults outOfMemory { message }
    usage { inputTokens outputTokens cacheReadTokens cacheCreationTokens costUsd }
    notices { code detail at }
    kill {
      kind reason requestedBy { kind id } requestedAt
      deferral { since until endedAt sections { kind source since detail expectedMs } }
    }
    pause { paused reason requestedBy { kind id } requestedAt stoppedAt wentOnAt } pausedMs
    safeToKill { safe message wouldDeferUntil sections { kind source since detail expectedMs limitMs } }
    rootExit { status at }
    failure { reason message code }
    receipt { json }
    cleanup { status steps { step status detail attempts at } }
    salvage { path patchBytes files filesBytes leftOutCount keep }
  }
  ${runRow} ${restartLinks} ${policyFields} ${workspaceFields}`

/** What every typed failure of a mutation has; the rest of it is in its message. */
export const problem = /* GraphQL */ `
  ... on Problem { message }
  ... on InvalidInput { issues { path message } }`

export const workflowRow = /* GraphQL */ `
  fragment WorkflowRow on Workflow {
    name version description command workspace { ...WorkspaceFields } env { name value } secretEnv runAs prompt
    labels { name value } limits { limit requested } definedAt definedBy { kind id }
    policy { ...PolicyFields }
  }
  ${policyFields} ${workspaceFields}`

/** With the number of the newest version. */
export const workflowDetails = /* GraphQL */ `
  fragment WorkflowDetails on Workflow { ...WorkflowRow versions(first: 1) { edges { node { version } } } }
  ${workflowRow}`

export const eventFields = /* GraphQL */ `
  fragment EventFields on RunEvent {
    id type version revision position occurredAt recordedAt actor { kind id } correlationId causationId data isKnown summary
  }`

export const projectionFields = /* GraphQL */ `
  fragment ProjectionFields on ProjectionStatus {
    name version position lag state error failure { position type stream error }
    skips { position type stream error skippedBy { kind id } skippedAt reason }
  }`

export const canaryFields = /* GraphQL */ `
  fragment CanaryFields on CanaryResult {
    runId host trigger requestedBy { kind id } startedAt endedAt outcome phase message level processes
    timings { readyMs sigtermMs sigkillMs provenMs answeredMs }
  }`
