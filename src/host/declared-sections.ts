import { type OpenSection, openSectionsMax, type SectionKind } from '../domain/critical-section.ts'
import type { FactBody } from '../domain/host-link.ts'
import { redactLine } from '../domain/redact.ts'
import { identityOf, readStat } from '../os/process-identity.ts'
import { readMarker } from './marker.ts'
import { isRunning } from './process-table.ts'

/** What a run said in its progress file, in order. */
export type SectionLine =
  | { enter: { id: string; kind: SectionKind; expectedMs?: number; detail?: string; pid?: number } }
  | { exit: { id: string } }

type Entered = Extract<FactBody, { type: 'CriticalSectionEntered' }>

/** The critical sections that a run has declared and not left, as its facts say. */
export class DeclaredSections {
  readonly #open = new Map<string, { body: Entered; since: string }>()

  fold(body: FactBody, occurredAt: string): void {
    if (body.type === 'CriticalSectionEntered') this.#open.set(body.data.id, { body, since: occurredAt })
    else if (body.type === 'CriticalSectionExited') this.#open.delete(body.data.id)
  }

  /** The very fact that this knowledge rests on. */
  restsOn(body: FactBody): boolean {
    return body.type === 'CriticalSectionEntered' && this.#open.get(body.data.id)?.body === body
  }

  /** Some were entered and not left, as far as the facts say. */
  get areOpen(): boolean {
    return this.#open.size > 0
  }

  /** Those in which somebody may be. */
  open(): OpenSection[] {
    return [...this.#open.values()]
      .filter(({ body }) => !hasLost(body))
      .map(({ body: { data }, since }) => ({
        ...{ kind: data.kind, source: 'DECLARED' as const, since, detail: data.detail },
        ...(data.expectedMs === undefined ? {} : { expectedMs: data.expectedMs }),
      }))
  }

  /** The facts that follow: a section is entered once until it is left, and left by the death of who was in it, too. */
  news(said: readonly SectionLine[], runId: string): FactBody[] {
    const open = new Set(this.#open.keys())
    const bodies: FactBody[] = []
    for (const line of said) {
      if ('exit' in line) {
        if (open.delete(line.exit.id)) bodies.push(left(line.exit.id, 'exited'))
      } else if (!open.has(line.enter.id) && open.size < openSectionsMax) {
        open.add(line.enter.id)
        bodies.push(enteredOf(line.enter, runId))
      }
    }
    const lost = [...this.#open.values()].filter(({ body }) => open.has(body.data.id) && hasLost(body))
    return [...bodies, ...lost.map(({ body }) => left(body.data.id, 'process-ended'))]
  }
}

const hasLost = ({ data }: Entered) => data.process !== undefined && !isRunning(data.process)

const left = (id: string, cause: 'exited' | 'process-ended'): FactBody => ({
  type: 'CriticalSectionExited',
  data: { id, cause },
})

function enteredOf(line: Extract<SectionLine, { enter: unknown }>['enter'], runId: string): Entered {
  const { id, kind, expectedMs, detail, pid } = line
  const process = pid === undefined ? undefined : processOf(pid, runId)
  return {
    type: 'CriticalSectionEntered',
    data: {
      ...{ id, kind, detail: redactLine(detail ?? id, 200) },
      ...(expectedMs === undefined ? {} : { expectedMs }),
      ...(process === undefined ? {} : { process }),
    },
  }
}

/** A pid means nothing where the run counts in a pid namespace of its own: only who bears its marker is meant. */
function processOf(pid: number, runId: string) {
  const stat = readStat(pid)
  return stat !== undefined && readMarker(stat) === runId ? identityOf(stat) : undefined
}
