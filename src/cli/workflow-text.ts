import type { WorkflowDetails } from './answers.ts'
import { limitsText } from './limits-text.ts'
import { policyText } from './policy-text.ts'
import { printable } from './printable.ts'
import { actorText } from './run-text.ts'
import type { Screen } from './screen.ts'
import { workspaceKindText } from './workspace-text.ts'

/** A workflow for a person: what it runs, where, under which thresholds, and since when. */
export function workflowLines(workflow: WorkflowDetails, screen: Screen): string[] {
  const { name, version, description, command, workspace, env, secretEnv, runAs, prompt, labels } = workflow
  const inForce = workflow.versions.edges[0]?.node.version ?? version
  const facts: [string, string | null][] = [
    ['description', description],
    ['command', command.join(' ')],
    ['workspace', workspaceKindText(workspace)],
    ['env', pairs(env)],
    ['secret env', secretEnv.join(' ') || null],
    ['account', runAs],
    ['prompt', prompt],
    ['labels', pairs(labels)],
    ['policy', policyText(workflow.policy)],
    ['limits', limitsText(workflow.limits)],
    ['defined', `${workflow.definedAt} by ${actorText(workflow.definedBy)}`],
  ]
  const standing = inForce === version ? '(in force)' : `(in force: version ${inForce})`
  return [
    `${screen.paint('bold', printable(name))}  version ${version} ${standing}`,
    ...facts.flatMap(([fact, value]) =>
      value === null ? [] : [`  ${screen.paint('dim', fact.padEnd(12))} ${printable(value)}`],
    ),
  ]
}

const pairs = (named: { name: string; value: string }[]) =>
  named.map(({ name, value }) => `${name}=${value}`).join(' ') || null
