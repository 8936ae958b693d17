import { limitNotice } from './resource-limits.ts'
import type { RunEventData } from './run-events.ts'
import { isTerminal, type RunState } from './run-state.ts'

/** At most this many notices are kept in the state, and in a summary. */
export const noticesMax = 20

type Notice = { code: string; detail: string }

export function heard(state: RunState, data: RunEventData<'HeartbeatRecorded'>, at: string): RunState {
  return {
    ...state,
    progressPercent: data.progressPercent ?? state.progressPercent,
    usage: data.usage === undefined ? state.usage : { ...state.usage, ...data.usage },
    lastOutput: data.lastOutput ?? state.lastOutput,
    outputBytes: data.outputBytes ?? state.outputBytes,
    processes: isTerminal(state.status) ? 0 : (data.processes ?? state.processes),
    cpuMs: data.cpuMs ?? state.cpuMs,
    rssBytes: data.rssBytes ?? state.rssBytes,
    openFiles: isTerminal(state.status) ? 0 : (data.openFiles ?? state.openFiles),
    ioReadBytes: data.ioReadBytes ?? state.ioReadBytes,
    ioWriteBytes: data.ioWriteBytes ?? state.ioWriteBytes,
    peakRssBytes: largest(state.peakRssBytes, data.rssBytes),
    peakProcesses: largest(state.peakProcesses, data.processes),
    peakOpenFiles: largest(state.peakOpenFiles, data.openFiles),
    lastHeartbeatAt: at,
    notices: noted(state, data.notices ?? [], at),
  }
}

/**
 * Takes the place of all heartbeats before it: what it does not say is not known. So the state is the same whether they
 * are still there or retention has removed them, some or all.
 */
export function summedUp(state: RunState, data: RunEventData<'TelemetrySummarised'>): RunState {
  const isOver = isTerminal(state.status)
  return {
    ...state,
    progressPercent: data.progressPercent ?? null,
    usage: data.usage ?? null,
    lastOutput: data.lastOutput ?? null,
    outputBytes: data.outputBytes ?? 0,
    processes: isOver ? 0 : (data.processes ?? null),
    cpuMs: data.cpuMs ?? null,
    rssBytes: data.rssBytes ?? null,
    openFiles: isOver ? 0 : (data.openFiles ?? null),
    ioReadBytes: data.ioReadBytes ?? null,
    ioWriteBytes: data.ioWriteBytes ?? null,
    peakRssBytes: data.peakRssBytes ?? null,
    peakProcesses: data.peakProcesses ?? null,
    peakOpenFiles: data.peakOpenFiles ?? null,
    outOfMemory: data.outOfMemory ?? null,
    lastHeartbeatAt: data.lastHeartbeatAt ?? null,
    notices: [...state.notices.filter(({ code }) => code === limitNotice), ...(data.notices ?? [])].slice(-noticesMax),
  }
}

export const noted = (state: RunState, notices: Notice[], at: string) =>
  [...state.notices, ...notices.map((notice) => ({ ...notice, at }))].slice(-noticesMax)

const largest = (a: number | null, b: number | undefined) => (b === undefined ? a : Math.max(a ?? 0, b))
