/** The time of day. Injected, so that tests decide it. */
export type Clock = () => Date

/** What the host needs of a logger (pino's shape). */
export type Log = {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
