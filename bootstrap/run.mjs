// Runs a program of this project on a machine that has only Node.js >= 20 and npm.
//
//   node bootstrap/run.mjs FILE [ARGS…]
//
// 1. `npm ci` when node_modules does not match package-lock.json (install scripts are never needed).
// 2. Where this Node.js is older than `engines` asks for, the pinned runtime of bootstrap/runtime is installed and used.
// 3. FILE takes this process's place as far as a child can: same stdio, same signals, same exit.
//
// Plain JavaScript without dependencies, because it runs before there are any.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const runtimeDirectory = join(root, 'bootstrap', 'runtime')
/** Type stripping without a flag, and the newest majors of the dependencies, need this version. */
const oldestNode = [22, 18]

/** Installs what is missing, runs `file` and ends this process the way that one ended. */
export function run(file, args) {
  installWhenStale(root, 'the project')
  const program = join(root, file)
  if (isNewEnough(process.versions.node)) {
    process.argv = [process.execPath, program, ...args]
    return import(pathToFileURL(program).href)
  }
  replaceWith(pinnedRuntime(), [program, ...args])
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
}

function pinnedRuntime() {
  const name = `node-${process.platform}-${process.arch}`
  const known = JSON.parse(readFileSync(join(runtimeDirectory, 'package.json'), 'utf8')).optionalDependencies
  if (!(name in known)) {
    fail(
      `Node.js ${process.versions.node} is too old (Runwarden needs ${oldestNode.join('.')} or newer), and npm has no pinned runtime for ` +
        `${process.platform}-${process.arch}. Install a newer Node.js and try again.`,
    )
  }
  installWhenStale(runtimeDirectory, `Node.js ${known[name]} (this machine has ${process.versions.node})`)
  return join(runtimeDirectory, 'node_modules', name, 'bin', 'node')
}

/** `npm ci` writes the stamp last, so an interrupted installation is done again. */
function installWhenStale(directory, what) {
  const stamp = join(directory, 'node_modules', '.runwarden-installed')
  const wanted = createHash('sha256')
    .update(readFileSync(join(directory, 'package-lock.json')))
    .digest('hex')
  if (installed(stamp) === wanted) return
  refuseLink(directory)
  withLock(join(directory, '.runwarden-installing'), () => {
    if (installed(stamp) === wanted) return
    process.stderr.write(`runwarden: installing ${what} …\n`)
    const npm = spawnSync(
      'npm',
      ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
      // stdout belongs to the program that is about to run.
      { cwd: directory, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' },
    )
    if (npm.error) fail(`npm could not be started (${npm.error.message}). Install npm and try again.`)
    if (npm.status !== 0) fail(`"npm ci" failed in ${directory} (exit ${npm.status}); its own message is above.`)
    writeFileSync(stamp, wanted)
  })
}

/** `npm ci` empties what it finds first, through a link too: it has emptied the packages of another checkout. */
function refuseLink(directory) {
  const modules = join(directory, 'node_modules')
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return
  fail(
    `${modules} is a link to ${readlinkSync(modules)}, and what is there does not match ${join(directory, 'package-lock.json')}. ` +
      'Installing through the link would empty that directory, which others may use. ' +
      'Remove the link and start again (the packages are installed here then), or bring both to the same lock file.',
  )
}

function installed(stamp) {
  return existsSync(stamp) ? readFileSync(stamp, 'utf8') : undefined
}

/** Two commands started at once must not run `npm ci` in one directory: it begins by deleting node_modules. */
function withLock(path, act) {
  const deadline = Date.now() + 10 * 60_000
  while (!tryLock(path)) {
    if (Date.now() > deadline)
      fail(`${path} is held by another installation for over 10 minutes. Remove it and try again.`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
  }
  process.once('exit', () => rmSync(path, { recursive: true, force: true }))
  try {
    act()
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}

function tryLock(path) {
  try {
    mkdirSync(path)
    writeFileSync(join(path, 'pid'), String(process.pid))
    return true
  } catch (error) {
    if (error.code !== 'EEXIST')
      fail(`cannot write in ${dirname(path)}: ${error.message}. Make the folder writable for this user.`)
    if (isAbandoned(path)) rmSync(path, { recursive: true, force: true })
    return false
  }
}

/** A lock whose owner is gone, or that never got its owner's pid within ten seconds. */
function isAbandoned(path) {
  try {
    const owner = Number(readFileSync(join(path, 'pid'), 'utf8'))
    if (owner > 0) return !isAlive(owner)
    return Date.now() - statSync(path).mtimeMs > 10_000
  } catch {
    return existsSync(path) && Date.now() - statSync(path).mtimeMs > 10_000
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function replaceWith(command, args) {
  const child = spawn(command, args, { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => fail(`${command} could not be started: ${error.message}`))
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

function fail(message) {
  process.stderr.write(`runwarden: ${message}\n`)
  process.exit(1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file, ...args] = process.argv.slice(2)
  if (file === undefined) fail('usage: node bootstrap/run.mjs FILE [ARGS…]')
  run(file, args)
}
