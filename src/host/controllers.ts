import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Files of cgroup v2 by which a run's tree can be limited, where its host has the controller. */
export const controllerFiles = { memory: 'memory.max', pids: 'pids.max', cpu: 'cpu.max' } as const
export type Controller = keyof typeof controllerFiles

/** null: it can be used. Else why not. */
export type Controllers = Record<Controller, string | null>

/**
 * Hands the controllers down to the cgroups below `base`, as far as this process may, and looks what came of it.
 * @param own the cgroup that holds `base`
 * @param probe a cgroup in `base`, as each run gets one
 */
export function openControllers(own: string, base: string, probe: string): Controllers {
  const controllers = Object.keys(controllerFiles) as Controller[]
  const refusals = new Map<Controller, string>()
  for (const controller of controllers) {
    const refusal = enable(own, controller) ?? enable(base, controller)
    if (refusal !== undefined) refusals.set(controller, refusal)
  }
  const why = (controller: Controller) =>
    existsSync(join(probe, controllerFiles[controller]))
      ? null
      : (refusals.get(controller) ?? `${controllerFiles[controller]} is not there`)
  return { memory: why('memory'), pids: why('pids'), cpu: why('cpu') }
}

/** @returns why it could not be */
function enable(cgroup: string, controller: Controller): string | undefined {
  try {
    const words = (name: string) => readFileSync(join(cgroup, name), 'latin1').trim().split(' ')
    if (words('cgroup.subtree_control').includes(controller)) return undefined
    if (!words('cgroup.controllers').includes(controller)) return `cgroup v2 has no ${controller} controller here`
    writeFileSync(join(cgroup, 'cgroup.subtree_control'), `+${controller}`, { flag: 'r+' })
    return undefined
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'EBUSY') return message
    // A cgroup with processes of its own hands nothing down.
    return `the ${controller} controller cannot be handed down, for processes live in ${cgroup} itself; start Runwarden in a cgroup of its own`
  }
}
