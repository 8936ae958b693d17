import type { ServerResponse } from 'node:http'
import type { Control, Readiness } from '../control/control.ts'
import type { Log } from '../control/log.ts'
import { replyJson } from './reply.ts'

/** Load balancers ask every few seconds and give up after about as long. */
const readinessMs = 3_000

/** The process answers: nothing more. */
export const replyLive = (response: ServerResponse, version: string): void =>
  replyJson(response, 200, { status: 'alive', version })

/** 200 when work can be taken, else 503; either way with what was checked. */
export async function replyReady(response: ServerResponse, control: Control, log: Log): Promise<void> {
  const readiness = await readinessOf(control, log)
  replyJson(response, readiness.ready ? 200 : 503, readiness)
}

async function readinessOf(control: Control, log: Log): Promise<Readiness> {
  const { promise: late, resolve } = Promise.withResolvers<Readiness>()
  const timer = setTimeout(() => resolve(unready(`no answer within ${readinessMs / 1000} s`)), readinessMs)
  try {
    return await Promise.race([control.readiness(), late])
  } catch (error) {
    log.error({ err: error }, 'the readiness checks broke')
    return unready('the checks broke; the log says how')
  } finally {
    clearTimeout(timer)
  }
}

const unready = (detail: string): Readiness => ({ ready: false, checks: [{ name: 'readiness', ok: false, detail }] })
