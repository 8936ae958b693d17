/**
 * A server that was started inside a run would carry that run's marker, and die with it as one of its members.
 * Deleting the variable is not enough: `/proc/self/environ` shows what a process was started with. So this process
 * begins again, as the same pid, without it.
 */
export function leaveOwnRun(env: NodeJS.ProcessEnv): void {
  if (env.RUNWARDEN_RUN_ID === undefined) return
  const clean = Object.fromEntries(
    Object.entries(env).filter(
      ([name]) => !['RUNWARDEN_RUN_ID', 'RUNWARDEN_HOST_ID', 'RUNWARDEN_PROGRESS'].includes(name),
    ),
  )
  if (process.execve === undefined) {
    throw new Error(
      'RUNWARDEN_RUN_ID is set: this server was started inside a run, and would be killed with it. ' +
        `Start it with that variable unset (this Node.js, ${process.version}, cannot leave the run by itself).`,
    )
  }
  process.execve(
    process.execPath,
    [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    clean as NodeJS.Dict<string>,
  )
}
