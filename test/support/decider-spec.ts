import { expect } from 'vitest'
import { absorb } from '../../src/domain/absorb.ts'
import { type Command, decide, type Rejection } from '../../src/domain/decide.ts'
import { evolve } from '../../src/domain/evolve.ts'
import type { FactBody } from '../../src/domain/host-link.ts'
import type { RunEventBody } from '../../src/domain/run-events.ts'
import type { RunState } from '../../src/domain/run-state.ts'
import { type Place, record } from './run-events.ts'

type History = readonly (RunEventBody & Place)[]
/** Data is compared key by key: a key that is expected as undefined may be absent. */
type Expected = RunEventBody[] | { rejected: Rejection }

/** The state that the history leads to. @throws when it holds no RunRequested. */
export function stateAfter(history: History): RunState {
  const state = fold(history)
  if (state === undefined) throw new Error('this history requests no run')
  return state
}

export const fold = (history: History) => record(history).reduce(evolve, undefined)

/**
 * `given(history).when(command).then(events | { rejected })` and `given(history).fact(fact).then(events)`.
 * `then` answers the state after the new events.
 */
export function given(history: History) {
  return {
    when: (command: Command) => outcome(history, () => decided(command, fold(history))),
    fact: (fact: FactBody) => outcome(history, () => [absorb(fact, fold(history))]),
  }
}

function outcome(history: History, act: () => Expected) {
  return {
    // biome-ignore lint/suspicious/noThenProperty: given/when/then is the language of these tests; nobody awaits it
    then(expected: Expected): RunState | undefined {
      const actual = act()
      expect(actual).toEqual(expected)
      return fold(Array.isArray(actual) ? [...history, ...actual] : history)
    },
  }
}

function decided(command: Command, state: RunState | undefined): Expected {
  const decision = decide(command, state)
  return decision.ok ? decision.events : { rejected: decision.rejection }
}
