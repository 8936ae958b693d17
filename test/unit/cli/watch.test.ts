import { describe, expect, it } from 'vitest'
import { changeLine, frameLines, tableOf } from '../../../src/cli/watch/watch-text.ts'
import { createWatchedRuns, type Watched } from '../../../src/cli/watch/watched-runs.ts'
import { fakeRun } from '../../support/fake-runs.ts'

const plain = (_style: unknown, text: string) => text
const nowMs = Date.parse('2026-11-21T03:41:07.000Z')
const ended = '2026-11-21T03:40:00.000Z'
const verdict = (name: 'NORMAL' | 'SLOW' | 'STUCK') => ({ ...fakeRun().verdict, verdict: name })
const run = (id: string, changes: Parameters<typeof fakeRun>[0] = {}) =>
  fakeRun({ id, verdict: verdict('NORMAL'), ...changes })
const watching = (changes: Partial<Watched> = {}) =>
  createWatchedRuns({ ids: [], workflow: undefined, all: false, ...changes })

describe('[R23] the runs that are watched', () => {
  it('are told of only when something but their age and heartbeat has changed', () => {
    const runs = watching()
    expect(runs.update(run('a'))).toBe(true)
    expect(runs.update(run('a'))).toBe(false)
    expect(runs.update(run('a', { lastHeartbeatAt: '2026-11-21T03:41:05.000Z' }))).toBe(false)
    expect(runs.inOrder()[0]?.lastHeartbeatAt).toBe('2026-11-21T03:41:05.000Z')
    for (const change of [{ turns: 1 }, { phase: 'build' }, { verdict: verdict('STUCK') }, { lastOutput: 'x' }]) {
      expect(runs.update(run('a', { ...change, lastHeartbeatAt: '2026-11-21T03:41:06.000Z' }))).toBe(true)
    }
  })

  it('do not go back to what an older answer says', () => {
    const runs = watching()
    runs.update(run('a', { revision: 5, turns: 2 }))
    expect(runs.update(run('a', { revision: 4, turns: 1 }))).toBe(false)
    expect(runs.update(run('a', { revision: 5, turns: 2, lastHeartbeatAt: null, lastOutput: 'old' }))).toBe(false)
    expect(runs.inOrder()).toMatchObject([{ turns: 2, revision: 5 }])
  })

  it('are those that live; one that ends meanwhile stays, another that has ended does not come', () => {
    const runs = watching({ workflow: 'BUILDER' })
    expect(runs.update(run('a', { endedAt: ended }))).toBe(false)
    expect(runs.update(run('b', { workflow: 'LINA' }))).toBe(false)
    runs.update(run('c'))
    expect(runs.update(run('c', { status: 'KILLED', endedAt: ended, revision: 9 }))).toBe(true)
    expect(runs.inOrder().map(({ id }) => id)).toEqual(['c'])
    expect(runs.liveIds()).toEqual([])
    expect(watching({ all: true }).update(run('a', { endedAt: ended }))).toBe(true)
  })

  it('[M2] leave out the decoys of the canary, unless these are asked for', () => {
    const decoy = run('a', { workflow: 'runwarden-canary' })
    expect(watching({ all: true }).update(decoy)).toBe(false)
    expect(watching({ workflow: 'runwarden-canary' }).update(decoy)).toBe(true)
    expect(watching({ ids: ['a'] }).update(decoy)).toBe(true)
  })

  it('that are named are all there is, and have all ended once each of them has', () => {
    const runs = watching({ ids: ['a', 'b'] })
    expect(runs.update(run('c'))).toBe(false)
    runs.update(run('a', { endedAt: ended }))
    expect(runs.allEnded()).toBe(false)
    runs.update(run('b', { endedAt: ended }))
    expect(runs.allEnded()).toBe(true)
    expect(watching().allEnded()).toBe(false)
  })

  it('stand in the order in which they want attention, and do not grow without end', () => {
    const runs = watching()
    const requestedAt = '2026-11-21T03:30:00.000Z'
    for (const one of [
      run('ended'),
      run('normal'),
      run('newer', { requestedAt }),
      run('slow', { verdict: verdict('SLOW') }),
      run('stuck', { verdict: verdict('STUCK') }),
      run('killing', { status: 'KILLING' }),
      run('unverified', { status: 'KILL_UNVERIFIED' }),
    ]) {
      runs.update(one)
    }
    runs.update(run('ended', { endedAt: ended, revision: 2 }))
    const order = ['unverified', 'killing', 'stuck', 'slow', 'newer', 'normal', 'ended']
    expect(runs.inOrder().map(({ id }) => id)).toEqual(order)
    const many = watching({ all: true })
    for (let count = 0; count < 300; count += 1) many.update(run(`run${count}`, { endedAt: ended }))
    expect(many.inOrder()).toHaveLength(200)
  })
})

describe('[R40] what is painted', () => {
  const several = (count: number) => Array.from({ length: count }, (_, index) => run(`run_${index}`))
  const frame = (size: { columns: number; rows: number }, notice: string | null = null) => ({ ...size, nowMs, notice })

  it.each([
    [200, 24],
    [120, 24],
    [80, 24],
    [60, 10],
    [40, 5],
    [80, 3],
    [80, 1],
  ])('fits a terminal of %i × %i', (columns, rows) => {
    for (const count of [0, 1, 3, 50]) {
      const lines = frameLines(several(count), frame({ columns, rows }, 'The connection is lost'), plain)
      expect(lines.length).toBeLessThanOrEqual(rows)
      // The title is cut by the terminal itself, which does not wrap.
      for (const line of lines.slice(1)) expect([...line].length, line).toBeLessThanOrEqual(columns)
    }
  })

  it('says how many there was no room for, and drops columns rather than the status', () => {
    const lines = frameLines(several(50), frame({ columns: 80, rows: 10 }), plain)
    expect(lines.at(-1)).toBe('… and 43 more')
    expect(lines[1]).toMatch(/^RUN +WORKFLOW +STATUS +VERDICT .*LAST OUTPUT$/)
    expect(lines[1]).not.toContain('HEARTBEAT')
    expect(frameLines(several(1), frame({ columns: 45, rows: 10 }), plain)[1]).toMatch(
      /^RUN +STATUS +VERDICT +TURNS +AGE$/,
    )
  })

  it('says that there is nothing only when that is known', () => {
    const size = { columns: 80, rows: 10 }
    expect(frameLines([], frame(size), plain).at(-1)).toBe('No run is alive or waiting.')
    expect(frameLines([], frame(size, 'The connection is lost'), plain).at(-1)).toBe('The connection is lost')
  })

  it('counts what wants attention, in words; a run cannot paint', () => {
    const runs = [
      run('a', { verdict: verdict('STUCK'), lastOutput: '\u001b[2Jboo' }),
      run('b', { status: 'KILL_UNVERIFIED' }),
      run('c', { endedAt: ended, verdict: verdict('STUCK') }),
      run('d', { status: 'KILLING', killPhase: 'TERMINATING' }),
    ]
    const text = frameLines(runs, frame({ columns: 140, rows: 10 }), plain).join('\n')
    expect(text).toMatch(/^3 live, 1 KILL_UNVERIFIED, 1 STUCK {2}q ends/)
    expect(text).not.toContain('\u001b')
    expect(text).toContain('KILLING terminating')
  })

  it('is a line per change without a terminal', () => {
    expect(changeLine(run('run_0', { turns: 1 }), nowMs)).toBe(
      '2026-11-21T03:41:07.000Z  run_0  BUILDER  RUNNING  NORMAL  initialization  1 turn  41 min 6 s  Now let me run the installation script to set everything up:',
    )
    expect(tableOf([run('run_0')], nowMs, undefined, plain)[0]).toContain('HEARTBEAT')
  })
})
