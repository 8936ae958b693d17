import type { Command } from 'commander'
import type { DoctorCheck } from '../composed.ts'
import { type CliContext, withExamples, withJson } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { printable } from '../printable.ts'
import type { Style } from '../screen.ts'

const styleOf: Record<DoctorCheck['status'], Style> = { ok: 'green', warn: 'yellow', fail: ['red', 'bold'] }

export function addDoctor(program: Command, context: CliContext): void {
  const command = program
    .command('doctor')
    .description('Look at this machine: what works, what does not, and how strong a proof of death it can give.')
    .action((options: { json?: true }) => doctor(context, options.json === true))
  withExamples(withJson(command), [['runwarden doctor', 'exit 1 when something fails; a warning is no failure']])
}

async function doctor({ deps, screen, end }: CliContext, json: boolean): Promise<void> {
  const checks = await deps.composed.doctor()
  if (checks.some((check) => check.status === 'fail')) end(exitCodes.failure)
  const width = Math.max(0, ...checks.map((check) => check.name.length))
  for (const check of checks) {
    if (json) await screen.json(check)
    else {
      const status = screen.paint(styleOf[check.status], check.status.padEnd(4))
      await screen.line(`${status}  ${check.name.padEnd(width)}  ${printable(check.detail)}`)
      if (check.wayOut !== undefined) await screen.line(`${' '.repeat(width + 8)}→ ${printable(check.wayOut)}`)
    }
  }
}
