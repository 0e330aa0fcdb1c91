// What: says what this machine lacks for the package, each with the command that mends it.
// Flow: `npm install`, setup.mjs -> this -> cmake-js.
// Thread: none; a build script; Node 12 can read it, so that an old Node gets the sentence.

// biome-ignore-start lint/style/useNodejsImportProtocol: Node 12.17 knows no `node:` specifiers.
import { spawnSync } from 'child_process'
import { accessSync, constants, readFileSync, realpathSync, statSync } from 'fs'
import { release } from 'os'
import { delimiter, isAbsolute, join } from 'path'
import { fileURLToPath } from 'url'

// biome-ignore-end lint/style/useNodejsImportProtocol: see above.

/** Oldest Node: what cmake-js 8 asks for. */
export const NODE_MIN = [20, 17]
/** Oldest CMake: what cmake-js generates for. */
export const CMAKE_MIN = [3, 15]
/** First Linux with all of io_uring that the driver needs. */
export const KERNEL_IO_URING_MIN = [5, 19]

const CPP20 = '#include <bit>\n#include <concepts>\nstatic_assert(__cplusplus > 201703L);\n'

const PACKAGES = {
  'apt-get': {
    install: 'apt-get update && SUDOapt-get install -y',
    npm: 'npm',
    compiler: 'g++',
    cmake: 'cmake',
    make: 'make',
  },
  dnf: {
    install: 'dnf install -y',
    npm: 'nodejs-npm',
    compiler: 'gcc-c++',
    cmake: 'cmake',
    make: 'make',
  },
  apk: { install: 'apk add', npm: 'npm', compiler: 'build-base', cmake: 'cmake', make: 'make' },
}

/** `1.2.3-x` -> [1, 2]; [0, 0] where there is none. */
export function parseVersion(text) {
  const match = /(\d+)\.(\d+)/.exec(text)
  return match ? [Number(match[1]), Number(match[2])] : [0, 0]
}

export function isAtLeast(version, min) {
  return version[0] > min[0] || (version[0] === min[0] && version[1] >= min[1])
}

/** Path of an executable, or undefined. */
export function findTool(name, path) {
  const candidates = isAbsolute(name)
    ? [name]
    : path
        .split(delimiter)
        .filter((folder) => folder !== '')
        .map((folder) => join(folder, name))
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return statSync(file).isFile()
    } catch (_) {
      return false
    }
  })
}

/** Name of the package manager that /etc/os-release points to, or undefined. */
export function packageManager(osRelease) {
  const words = []
  for (const line of osRelease.split('\n')) {
    const match = /^(?:ID|ID_LIKE)=["']?([^"']*)/.exec(line)
    if (match) words.push(...match[1].split(/\s+/))
  }
  const hasAny = (...names) => names.some((name) => words.includes(name))
  if (hasAny('debian', 'ubuntu')) return 'apt-get'
  if (hasAny('fedora', 'rhel', 'centos')) return 'dnf'
  if (hasAny('alpine')) return 'apk'
  return undefined
}

function mend(osRelease, tool, isRoot) {
  const manager = PACKAGES[packageManager(osRelease)]
  if (!manager)
    return `install ${tool === 'compiler' ? 'g++ 10 or newer' : tool} with your package manager`
  const sudo = isRoot ? '' : 'sudo '
  return `${sudo}${manager.install.replace('SUDO', sudo)} ${manager[tool]}`
}

function run(file, args, input, env) {
  return spawnSync(file, args, { input, env, encoding: 'utf8' })
}

function checkCompiler(env, path, found, lacks) {
  // CXX may carry a launcher and flags (`ccache g++ -m64`), which the shell words of make allow.
  const words = env.CXX ? env.CXX.trim().split(/\s+/) : []
  const names = words.length > 0 ? words.slice(0, 1) : ['c++', 'g++', 'clang++']
  const compiler = names.map((name) => findTool(name, path)).find((file) => file !== undefined)
  if (compiler === undefined) {
    const what = env.CXX
      ? `CXX is ${env.CXX}, which is not on PATH; unset it or install a compiler`
      : 'a C++ compiler is missing'
    lacks('compiler', what)
    return
  }
  const probe = run(
    compiler,
    [...words.slice(1), '-std=c++20', '-fsyntax-only', '-x', 'c++', '-'],
    CPP20,
    env,
  )
  if (probe.status === 0) found.push(`C++20 compiler: ${compiler}`)
  else lacks('compiler', `${compiler} does not compile C++20`)
}

function checkCmake(env, path, found, lacks) {
  const min = CMAKE_MIN.join('.')
  const cmake = findTool('cmake', path)
  if (cmake === undefined) {
    lacks('cmake', `CMake ${min} or newer is missing`)
    return
  }
  const output = run(cmake, ['--version'], '', env).stdout || ''
  const version = /version (\S+)/.exec(output)
  if (version && isAtLeast(parseVersion(version[1]), CMAKE_MIN))
    found.push(`CMake: ${cmake}, ${version[1]}`)
  else
    lacks(
      'cmake',
      `CMake is ${version ? version[1] : 'of unknown version'}, ${min} or newer is needed`,
    )
}

/**
 * Looks at a machine. Node-API headers are not looked for: npm brings them (node-api-headers).
 * @param {{ platform: string, nodeVersion: string, env: Record<string, string | undefined>,
 *   kernel: string, osRelease: string, isRoot: boolean }} machine
 * @returns {{ found: string[], missing: string[], notes: string[] }} sentences
 */
export function inspect(machine) {
  /** @type {string[]} */
  const found = []
  /** @type {string[]} */
  const missing = []
  /** @type {string[]} */
  const notes = []
  if (machine.platform === 'win32') {
    // cmake-js finds Visual Studio and CMake by itself, and says what it does not find.
    if (isAtLeast(parseVersion(machine.nodeVersion), NODE_MIN))
      found.push(`Node: ${machine.nodeVersion}`)
    else missing.push(`Node is ${machine.nodeVersion}, ${NODE_MIN.join('.')} or newer is needed`)
    notes.push('Windows: building there is untested, see docs/guide/windows.md')
    return { found, missing, notes }
  }
  if (machine.platform !== 'linux') {
    missing.push(
      `${machine.platform} is not supported; run it on Linux, where a container or WSL 2 will do`,
    )
    return { found, missing, notes }
  }
  const env = machine.env
  const path = env.PATH || ''
  const lacks = (tool, what) =>
    missing.push(`${what}: ${mend(machine.osRelease, tool, machine.isRoot)}`)

  if (isAtLeast(parseVersion(machine.nodeVersion), NODE_MIN))
    found.push(`Node: ${machine.nodeVersion}`)
  else {
    const what = `Node is ${machine.nodeVersion}, ${NODE_MIN.join('.')} or newer is needed`
    missing.push(`${what}: nvm install 20, or https://nodejs.org/en/download`)
  }
  const npm = findTool('npm', path)
  if (npm !== undefined) found.push(`npm: ${npm}`)
  else lacks('npm', 'npm is missing')

  checkCompiler(env, path, found, lacks)
  checkCmake(env, path, found, lacks)

  const make = findTool('ninja', path) || findTool('make', path)
  if (make !== undefined) found.push(`build tool: ${make}`)
  else lacks('make', 'make or ninja is missing')

  if (isAtLeast(parseVersion(machine.kernel), KERNEL_IO_URING_MIN))
    found.push(`kernel: ${machine.kernel}`)
  else {
    const min = KERNEL_IO_URING_MIN.join('.')
    notes.push(`Linux is ${machine.kernel}; io_uring needs ${min}, so the epoll driver will run`)
  }
  return { found, missing, notes }
}

/** This machine, as inspect() wants it. */
export function thisMachine() {
  let osRelease = ''
  try {
    osRelease = readFileSync('/etc/os-release', 'utf8')
  } catch (_) {
    // Without it the sentences name no command.
  }
  return {
    platform: process.platform,
    nodeVersion: process.versions.node,
    env: process.env,
    kernel: release(),
    osRelease,
    isRoot: process.getuid !== undefined && process.getuid() === 0,
  }
}

/** Prints what is missing and gives the exit code. */
export function preflight(isVerbose) {
  const { found, missing, notes } = inspect(thisMachine())
  if (isVerbose) for (const line of [...found, ...notes]) console.log(line)
  for (const line of missing) console.error(`overlapped: ${line}`)
  return missing.length > 0 ? 1 : 0
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = preflight(process.argv.includes('--verbose'))
}
