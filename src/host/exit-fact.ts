import type { LadderRun } from './kill-ladder.ts'

type EndedRun = Pick<
  LadderRun,
  'root' | 'visible' | 'facts' | 'rootExit' | 'exitMayCome' | 'wakeShim' | 'bell' | 'clock' | 'signal'
>

/** The shim writes the status within a millisecond of the root's end; a machine that thrashes needs longer. */
const exitWaitMs = 2_000
const pollMs = 1

/** Says how the root ended, when that is known by now and was not said before. */
export async function noteExit({ facts, rootExit }: Pick<EndedRun, 'facts' | 'rootExit'>): Promise<void> {
  const exit = rootExit()
  if (exit === undefined || facts.has('ProcessExited')) return
  await facts.emit([{ type: 'ProcessExited', data: exit }])
}

/** Of a root that is dead: its status follows as long as its shim is there to write it; else nobody knows it. */
export async function awaitExit(run: EndedRun): Promise<void> {
  const { facts, signal, bell, root, visible, clock } = run
  if (facts.has('ProcessExited') || root === null || !visible) return
  const deadline = performance.now() + exitWaitMs
  while (!signal.aborted) {
    // Asked first: the shim writes, then ends.
    const mayCome = run.exitMayCome() && performance.now() < deadline
    await noteExit(run)
    if (facts.has('ProcessExited')) return
    if (!mayCome) break
    run.wakeShim()
    await bell.wait(pollMs, signal)
  }
  if (signal.aborted) return
  await facts.emit([{ type: 'ProcessExited', data: { status: null, at: clock().toISOString() } }])
}
