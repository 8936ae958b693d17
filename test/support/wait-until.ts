import { setTimeout } from 'node:timers/promises'

/**
 * Waits for a condition by asking for it, and answers with what it gave.
 * @param detail told when it did not come true in time.
 */
export async function waitUntil<Value>(
  condition: () => Promise<Value | undefined | false> | Value | undefined | false,
  what: string,
  timeoutMs = 10_000,
  detail: () => string = () => '',
): Promise<Value> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value !== undefined && value !== false) return value
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}\n${detail()}`)
    await setTimeout(10)
  }
}
