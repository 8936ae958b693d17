/** What was opened, closed again in reverse order: one registry, so that no early return forgets one. */
export type Shutdown = {
  /** @param close may be called once; it must be bounded in time. */
  add(name: string, close: () => Promise<unknown> | unknown): void
  /** Closes everything, whatever breaks on the way. */
  run(onError: (name: string, error: unknown) => void): Promise<void>
}

export function createShutdown(): Shutdown {
  const steps: { name: string; close: () => Promise<unknown> | unknown }[] = []
  return {
    add: (name, close) => void steps.push({ name, close }),
    async run(onError) {
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
        try {
          await step.close()
        } catch (error) {
          onError(step.name, error)
        }
      }
    },
  }
}
