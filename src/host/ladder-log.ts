import type { OpenSection } from '../domain/critical-section.ts'
import type { DesiredKill } from '../domain/host-link.ts'
import type { Receipt, ReceiptProcess } from '../domain/receipt.ts'
import { killKindSchema } from '../domain/run-events.ts'
import { Journal } from './journal.ts'

/** What a kill was about to do, written before it was done. Times are absolute: a restart does not begin anew. */
type LadderStep =
  | { step: 'wanted'; kill: DesiredKill }
  | { step: 'begun'; at: string }
  | { step: 'deferring'; at: string; until: string; sections: OpenSection[] }
  | { step: 'undeferred'; at: string; endedBy: NonNullable<Receipt['deferral']>['endedBy'] }
  | { step: 'terminating'; at: string; graceUntil: string; processes: number }
  | { step: 'proving'; until: string }
  | { step: 'killing'; at: string; processes: number }
  /** Whom the receipt will name, as known when the signals were sent. */
  | { step: 'met'; processes: ReceiptProcess[] }

type StepName = Exclude<LadderStep['step'], 'wanted'>
type StepOf<Name extends StepName> = Extract<LadderStep, { step: Name }>

/** The journal of one run's kill. */
export class LadderLog {
  readonly #journal: Journal<LadderStep>
  readonly #crashPoint: (name: string) => void
  readonly #steps = new Map<StepName, LadderStep>()
  /** The strongest kill that was asked for. */
  kill: DesiredKill | null = null

  private constructor(journal: Journal<LadderStep>, crashPoint: (name: string) => void) {
    this.#journal = journal
    this.#crashPoint = crashPoint
  }

  static async open(path: string, crashPoint: (name: string) => void): Promise<LadderLog> {
    const { journal, lines } = await Journal.openOrKeepInMemory<LadderStep>(path)
    const log = new LadderLog(journal, crashPoint)
    for (const line of lines) log.#fold(line)
    return log
  }

  #fold(line: LadderStep): void {
    if (line.step !== 'wanted') this.#steps.set(line.step, line)
    else if (goesFurther(line.kill, this.kill)) this.kill = line.kill
  }

  step<Name extends StepName>(name: Name): StepOf<Name> | undefined {
    return this.#steps.get(name) as StepOf<Name> | undefined
  }

  /** On a full disk and without a reserve the step is remembered in memory only, and `failure` says why. */
  async write(line: LadderStep, onDisk: 'now' | 'with the next' = 'now'): Promise<void> {
    this.#crashPoint(`before step ${line.step}`)
    await this.#journal.append([line], true, onDisk)
    this.#fold(line)
    this.#crashPoint(`after step ${line.step}`)
  }

  /** Takes a wish in; a weaker one, or the same again, changes nothing. */
  async want(kill: DesiredKill): Promise<boolean> {
    if (!goesFurther(kill, this.kill)) return false
    await this.write({ step: 'wanted', kill })
    return true
  }

  get failure(): Error | undefined {
    return this.#journal.failure
  }

  seal = () => this.#journal.seal()
  close = () => this.#journal.close()
}

/** The kinds are listed in this order. */
const strength = (kill: DesiredKill) => killKindSchema.options.indexOf(kill.kind)
/** A stronger kill, or one that was asked for anew: control does that only after a kill that was not proven. */
function goesFurther(kill: DesiredKill, than: DesiredKill | null): boolean {
  if (than === null || strength(kill) > strength(than)) return true
  return strength(kill) === strength(than) && Date.parse(kill.requestedAt) > Date.parse(than.requestedAt)
}
