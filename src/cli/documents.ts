import {
  canaryFields,
  eventFields,
  problem,
  projectionFields,
  runDetails,
  runRow,
  workflowDetails,
  workflowRow,
} from './fragments.ts'

/** Every GraphQL document that the command line sends. A test validates each against schema/schema.graphql. */
export const documents = {
  runs: /* GraphQL */ `
    query Runs($filter: RunFilter, $first: Int, $after: String) {
      runs(filter: $filter, first: $first, after: $after) {
        edges { node { ...RunRow } }
        pageInfo { hasNextPage endCursor }
      }
    } ${runRow}`,

  runRow: /* GraphQL */ `
    query RunRow($id: ID!) { run(id: $id) { ...RunRow } } ${runRow}`,

  followRuns: /* GraphQL */ `
    subscription FollowRuns($filter: RunFilter, $runId: ID) {
      runChanged(filter: $filter, runId: $runId) { ...RunRow }
    } ${runRow}`,

  run: /* GraphQL */ `
    query Run($id: ID!) { run(id: $id) { ...RunDetails } } ${runDetails}`,

  runAt: /* GraphQL */ `
    query RunAt($id: ID!, $revision: Int, $time: DateTime) {
      runAt(id: $id, revision: $revision, time: $time) { ...RunDetails }
    } ${runDetails}`,

  timelineHead: /* GraphQL */ `
    query TimelineHead($id: ID!) {
      run(id: $id) {
        ...RunRow
        restartOf { id status } restart { newRunId } restartedAs { id status }
        phases(last: 500) { kind name from to durationMs }
      }
    } ${runRow}`,

  timeline: /* GraphQL */ `
    query Timeline($id: ID!, $first: Int, $after: String) {
      run(id: $id) {
        timeline(first: $first, after: $after) {
          edges { node { revision type at actor { kind id } summary late } }
          pageInfo { hasNextPage endCursor }
        }
      }
    }`,

  runEvents: /* GraphQL */ `
    query RunEvents($id: ID!, $first: Int, $after: String) {
      runEvents(id: $id, first: $first, after: $after) {
        edges { cursor node { ...EventFields } }
        pageInfo { hasNextPage endCursor }
      }
    } ${eventFields}`,

  followRunEvents: /* GraphQL */ `
    subscription FollowRunEvents($id: ID!, $after: String) {
      runEvents(id: $id, after: $after) { cursor node { ...EventFields } }
    } ${eventFields}`,

  runOutput: /* GraphQL */ `
    query RunOutput($id: ID!, $offset: Float, $maxBytes: Int) {
      runOutput(id: $id, offset: $offset, maxBytes: $maxBytes) { offset next text ended }
    }`,

  followRunOutput: /* GraphQL */ `
    subscription FollowRunOutput($id: ID!, $offset: Float) {
      runOutput(id: $id, offset: $offset) { offset next text ended }
    }`,

  alerts: /* GraphQL */ `
    query Alerts($open: Boolean, $runId: ID, $first: Int, $after: String) {
      alerts(open: $open, runId: $runId, first: $first, after: $after) {
        edges { node { id kind severity runId workflow message evidence { fact value } raisedAt resolvedAt why } }
        pageInfo { hasNextPage endCursor }
      }
    }`,

  followAlerts: /* GraphQL */ `
    subscription FollowAlerts($after: String) {
      alerts(after: $after) {
        cursor
        alert { id kind severity runId workflow message evidence { fact value } raisedAt resolvedAt why }
      }
    }`,

  audit: /* GraphQL */ `
    query Audit($runId: ID, $first: Int, $after: String) {
      audit(runId: $runId, first: $first, after: $after) {
        edges { node { id at actor { kind id } action target runId reason details decision why completedAt outcome detail correlationId } }
        pageInfo { hasNextPage endCursor }
      }
    }`,

  hosts: /* GraphQL */ `
    query Hosts {
      hosts {
        id hostname platform bootId level levelDetail
        slots { capacity used waiting }
        checks { name ok detail }
        disks { place path places freeBytes totalBytes seenAt failure }
      }
    }`,

  projections: /* GraphQL */ `
    query Projections { projections { ...ProjectionFields } } ${projectionFields}`,

  storeStats: /* GraphQL */ `
    query StoreStats {
      storeStats {
        engine version storeId position events retiredEvents bytesOnDisk
        streams { kind streams events retired }
        oldestAt newestAt appendedPerSecond
      }
    }`,

  workflows: /* GraphQL */ `
    query Workflows($first: Int, $after: String) {
      workflows(first: $first, after: $after) { edges { node { ...WorkflowRow } } pageInfo { hasNextPage endCursor } }
    } ${workflowRow}`,

  workflow: /* GraphQL */ `
    query Workflow($name: String!, $version: Int) {
      workflow(name: $name, version: $version) { ...WorkflowDetails }
    } ${workflowDetails}`,

  defineWorkflow: /* GraphQL */ `
    mutation DefineWorkflow($input: DefineWorkflowInput!) {
      defineWorkflow(input: $input) {
        __typename
        ... on DefineWorkflowAnswer { created workflow { ...WorkflowDetails } }
        ${problem}
      }
    } ${workflowDetails}`,

  startRun: /* GraphQL */ `
    mutation StartRun($input: StartRunInput!) {
      startRun(input: $input) { __typename ... on StartRunAnswer { run { ...RunDetails } } ${problem} }
    } ${runDetails}`,

  killRun: /* GraphQL */ `
    mutation KillRun($input: KillRunInput!) {
      killRun(input: $input) {
        __typename
        ... on KillRunAnswer {
          success runId killedAt cleanupStatus message joined waitExpired run { ...RunDetails }
        }
        ... on EmergencyKillAnswer {
          success runId killedAt cleanupStatus message joined waitExpired receipt { json }
        }
        ... on AlreadyEnded { run { ...RunDetails } }
        ${problem}
      }
    } ${runDetails}`,

  restartRun: /* GraphQL */ `
    mutation RestartRun($input: RestartRunInput!) {
      restartRun(input: $input) {
        __typename
        ... on RestartRunAnswer { newRunId message joined waitExpired run { ...RunDetails } }
        ${problem}
      }
    } ${runDetails}`,

  forceCompleteRun: /* GraphQL */ `
    mutation ForceCompleteRun($input: ForceCompleteRunInput!) {
      forceCompleteRun(input: $input) {
        __typename
        ... on ForceCompleteRunAnswer { success message joined waitExpired run { ...RunDetails } }
        ... on AlreadyEnded { run { ...RunDetails } }
        ${problem}
      }
    } ${runDetails}`,

  pauseRun: /* GraphQL */ `
    mutation PauseRun($input: PauseRunInput!) {
      pauseRun(input: $input) {
        __typename
        ... on PauseRunAnswer { success message joined waitExpired run { ...RunDetails } }
        ... on AlreadyEnded { run { ...RunDetails } }
        ${problem}
      }
    } ${runDetails}`,

  resumeRun: /* GraphQL */ `
    mutation ResumeRun($input: ResumeRunInput!) {
      resumeRun(input: $input) {
        __typename
        ... on PauseRunAnswer { success message joined waitExpired run { ...RunDetails } }
        ... on AlreadyEnded { run { ...RunDetails } }
        ${problem}
      }
    } ${runDetails}`,

  registerProcess: /* GraphQL */ `
    mutation RegisterProcess($input: RegisterProcessInput!) {
      registerProcess(input: $input) { __typename ... on RegisterProcessAnswer { run { ...RunDetails } } ${problem} }
    } ${runDetails}`,

  canary: /* GraphQL */ `
    query Canary($last: Int) { canary(last: $last) { intervalMs nextAt running results { ...CanaryFields } } }
    ${canaryFields}`,

  runCanary: /* GraphQL */ `
    mutation RunCanary {
      runCanary {
        __typename
        ... on RunCanaryAnswer { joined result { ...CanaryFields } }
        ... on Problem { message }
      }
    }
    ${canaryFields}`,

  rebuildProjections: /* GraphQL */ `
    mutation RebuildProjections($names: [String!]) {
      rebuildProjections(names: $names) {
        __typename
        ... on RebuildProjectionsAnswer { projections { name events durationMs passedOver } }
        ${problem}
      }
    }`,

  skipProjectionEvent: /* GraphQL */ `
    mutation SkipProjectionEvent($name: String!, $position: Float!, $reason: String) {
      skipProjectionEvent(name: $name, position: $position, reason: $reason) {
        __typename
        ... on SkipProjectionEventAnswer { projection { ...ProjectionFields } skip { position type stream } }
        ${problem}
      }
    } ${projectionFields}`,
} as const
