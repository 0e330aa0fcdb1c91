// What: the steps of `npm test` that run native code under sanitizers: stress program, planted bugs, addon in Node.
// Flow: test.mjs -> this -> test/native (CMake), vitest with another addon -> reports -> counts.
// Thread: none; a script, in syntax that Node 12 reads (see preflight.mjs).

// biome-ignore-start lint/style/useNodejsImportProtocol: see preflight.mjs.
import { spawnSync } from 'child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'fs'
import { tmpdir } from 'os'
import { join } from 'path'
// biome-ignore-end lint/style/useNodejsImportProtocol: see above.
import { root } from './setup.mjs'

/** What each build is given as -fsanitize=, and the runtime that Node must be started with. */
const BUILDS = {
  plain: { sanitize: '', runtime: '' },
  asan: { sanitize: 'address,undefined', runtime: 'libasan.so' },
  tsan: { sanitize: 'thread', runtime: 'libtsan.so' },
}
const DRIVERS = ['epoll', 'io_uring']
/** Workers send on their own sockets, or another thread does; with seconds of traffic, on which no check depends. */
const SENDS = { here: 2, elsewhere: 1 }
const PLANT_SECONDS = 1
/** Schedules in which a planted bug is looked for: in few of them clients see what it does before a sanitizer does. */
const PLANT_TRIES = 3
/** Connections come through the accept thread, or a single worker accepts by itself. */
const WORKERS = [2, 1]
/** Other schedules in every run of a day; a run that fails prints its seed. */
const SEED = `${Math.floor(Date.now() / 1000) % 1_000_000}`
/** Exit code of the stress program where this system has no io_uring. */
const NOT_TESTED = 77
/** First word of a control memory (src/layout/schema.ts). */
const MAGIC = 0x4f564c50

/** Each planted bug: the build that finds it, and what its report says; driver, `args` of the stress program. */
export const PLANTS = {
  'use-after-free': { build: 'asan', report: /AddressSanitizer: heap-use-after-free/ },
  // Whoever takes the chunk may have made it usable again by the time of the report: then its kind is not known.
  'freed-chunk': { build: 'asan', report: /AddressSanitizer: (?:use-after-poison|unknown-crash)/ },
  'out-of-bounds': { build: 'asan', report: /AddressSanitizer: heap-buffer-overflow/ },
  overflow: { build: 'asan', report: /runtime error: signed integer overflow/ },
  race: { build: 'tsan', report: /ThreadSanitizer: data race/ },
  // What is lost stays lost, however short the patience is.
  'unseen-inbox': {
    build: 'plain',
    report: /socket in its inbox/,
    args: ['--patience-ms', '2000'],
  },
  unheld: { build: 'plain', driver: 'io_uring', report: /ZEROCOPY-1: bytes have changed/ },
}

const ASAN_OPTIONS = 'detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1'
/** Undefined behaviour ends the program by itself (-fno-sanitize-recover); this adds where. */
const UBSAN_OPTIONS = 'print_stacktrace=1'
const TSAN_OPTIONS = 'halt_on_error=1:second_deadlock_stack=1'

/**
 * ThreadSanitizer of GCC 12 knows the address space without much randomness only; where personality(2) is
 * allowed it is switched off for its programs.
 */
function withoutRandomAddresses(program, args) {
  const prefix = ['setarch', '-R']
  const isAllowed = spawnSync(prefix[0], [prefix[1], 'true']).status === 0
  return isAllowed ? [...prefix, program, ...args] : [program, ...args]
}

function buildFolder(name) {
  return join(root, `build-${name}`)
}

function buildOne(command, name) {
  const folder = buildFolder(name)
  const { sanitize } = BUILDS[name]
  return (
    command('cmake', ['-S', 'test/native', '-B', folder, `-DSANITIZER=${sanitize}`]) &&
    command('cmake', ['--build', folder, '--parallel', '2'])
  )
}

/** Runs the stress program; its output and exit code. */
function stress(name, driver, workers, seconds, moreArgs) {
  const args = ['--driver', driver, '--workers', `${workers}`]
  args.push('--seconds', `${seconds}`, '--seed', SEED)
  args.push(...moreArgs)
  let line = [join(buildFolder(name), 'stress'), ...args]
  if (name === 'tsan') line = withoutRandomAddresses(line[0], args)
  const env = { ...process.env, ASAN_OPTIONS, UBSAN_OPTIONS, TSAN_OPTIONS }
  const child = spawnSync(line[0], line.slice(1), { env, encoding: 'utf8', maxBuffer: 1 << 28 })
  return { status: child.status, output: `${child.stdout}${child.stderr}` }
}

function stressAll(isCi) {
  const total = { passed: 0, failed: 0 }
  for (const name of Object.keys(BUILDS)) {
    for (const driver of DRIVERS) {
      for (const workers of WORKERS) {
        for (const [sends, seconds] of Object.entries(SENDS)) {
          const threads = workers === 1 ? '1 worker' : `${workers} workers`
          const what = `${name}, ${driver}, ${threads}, sends ${sends}`
          const { status, output } = stress(name, driver, workers, seconds, ['--sends', sends])
          console.log(`${what}: ${output.trim()}`)
          if (status === 0) total.passed += 1
          else if (status !== NOT_TESTED || isCi) total.failed += 1
          else console.log(`SKIPPED: ${what}`)
        }
      }
    }
  }
  return total
}

/** A sanitizer that finds nothing must be able to find something. */
function plantAll(isCi) {
  const total = { passed: 0, failed: 0 }
  for (const [plant, { build, driver = 'epoll', report, args = [] }] of Object.entries(PLANTS)) {
    let isFound = false
    let isTested = true
    for (let i = 0; i < PLANT_TRIES && isTested && !isFound; i += 1) {
      const seed = `${Number(SEED) + i}`
      const plantArgs = ['--plant', plant, '--seed', seed, ...args]
      const { status, output } = stress(build, driver, 2, PLANT_SECONDS, plantArgs)
      isFound = status !== 0 && report.test(output)
      isTested = isCi || status !== NOT_TESTED
      console.log(`${plant}: ${isFound ? 'found' : `not found: ${output.slice(0, 2000)}`}`)
    }
    if (!isTested) console.log(`SKIPPED: ${plant}`)
    else total[isFound ? 'passed' : 'failed'] += 1
  }
  return total
}

// --- the addon inside Node -----------------------------------------------------------------------

/** Frames that are the sanitizer's own. */
const RUNTIME_FRAME = /\blib[atu]san\.so|libsanitizer\//
/** Frames of the addon: by its module, or by its source where the sanitizer knows that. */
const OUR_FRAME = /\boverlapped\.node\b|\/native\/(?:\w+\/)*\w+\.(?:cc|h):\d/

/** Functions of Node-API and libuv, which allocate for whoever calls them. */
const API_FRAME = / in (?:napi_|node_api_|v8impl::|uv_)/

/** Stacks of a report: each is the frames below one headline. */
function stacksOf(report) {
  const stacks = []
  for (const line of report.split('\n')) {
    if (/^\s+#0 /.test(line)) stacks.push([])
    if (/^\s+#\d+ /.test(line) && stacks.length > 0) stacks[stacks.length - 1].push(line)
  }
  return stacks
}

/** Whether the code that did it, past the sanitizer's own functions, is the addon. */
function isByUs(stack) {
  const first = stack.find((frame) => !RUNTIME_FRAME.test(frame))
  return first !== undefined && OUR_FRAME.test(first)
}

/**
 * Reports in a log that are about the addon. Memory errors always are: whoever touches freed memory, it ends the run.
 * A leak is, when the addon allocated it, itself or by Node-API. A race is, when both accesses are made by
 * the addon: JavaScript synchronizes with instructions that ThreadSanitizer does not see, in code that it did
 * not build, so that a race with code of Node may be none.
 */
export function ourReports(log) {
  const reports = []
  for (const block of log.split(/^={18,}$/m)) {
    if (/ThreadSanitizer/.test(block)) {
      const stacks = stacksOf(block)
      const isRace = /data race/.test(block)
      const isOurs = isRace ? stacks.slice(0, 2).every(isByUs) : stacks.some(isByUs)
      if (/WARNING|ERROR|FATAL/.test(block) && (isOurs || /FATAL/.test(block))) reports.push(block)
    } else if (/LeakSanitizer: detected memory leaks/.test(block)) {
      for (const leak of block.split('\n\n')) {
        const frames = leak.split('\n').filter((line) => /^\s+#\d+ /.test(line))
        const callers = frames.filter((frame) => !API_FRAME.test(frame))
        if (/leak of/.test(leak) && isByUs(callers)) reports.push(leak)
      }
    } else if (/ERROR: |runtime error: |FATAL/.test(block)) {
      reports.push(block)
    }
  }
  return reports
}

/** Path of a runtime library; undefined, with a sentence, where the compiler has none. */
function runtimeLibrary(name) {
  const child = spawnSync(process.env.CXX || 'c++', [`-print-file-name=${name}`], {
    encoding: 'utf8',
  })
  const path = (child.stdout || '').trim()
  if (path.startsWith('/') && existsSync(path)) return path
  console.error(`${name} is missing: the addon is tested with GCC's; apt-get install -y g++`)
  return undefined
}

/** Environment in which Node, its threads and its children load the addon of a build. */
function addonEnv(name, logs) {
  const library = runtimeLibrary(BUILDS[name].runtime)
  if (library === undefined) return undefined
  const log = `log_path=${join(logs, name)}`
  return {
    LD_PRELOAD: library,
    NODE_OPTIONS: `--require ${JSON.stringify(join(root, 'test/helpers/other_addon.cjs'))}`,
    TESTS_ADDON: join(buildFolder(name), 'overlapped.node'),
    // Leaks are counted here, from the log: Node has its own, for which a test must not fail.
    ASAN_OPTIONS: `${ASAN_OPTIONS}:${log}:abort_on_error=1:exitcode=0`,
    UBSAN_OPTIONS: `${UBSAN_OPTIONS}:${log}`,
    TSAN_OPTIONS: `${log}:exitcode=0:report_signal_unsafe=0`,
  }
}

function readLogs(folder) {
  return readdirSync(folder)
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n==================\n')
}

/** Runs tests on the addon of a build: what fails, and what is reported, counts. */
function testAddon(name, runTests) {
  const logs = mkdtempSync(join(tmpdir(), 'overlapped-sanitizer-'))
  try {
    const env = addonEnv(name, logs)
    if (env === undefined) return { passed: 0, failed: 1 }
    const total = runTests(env)
    const reports = ourReports(readLogs(logs))
    for (const report of reports) console.log(report)
    total[reports.length === 0 ? 'passed' : 'failed'] += 1
    return total
  } finally {
    rmSync(logs, { recursive: true })
  }
}

/** The addon is the instrumented one: it reads behind 4 bytes that are given to it as control memory. */
function plantInAddon() {
  const program = `
    const { createRequire } = require('node:module')
    const binding = createRequire(${JSON.stringify(`${root}/`)})('./build/Release/overlapped.node')
    const onlyMagic = new Uint8Array(Int32Array.of(${MAGIC}).buffer)
    binding.createRuntime(onlyMagic, new Uint8Array(8))`
  const logs = mkdtempSync(join(tmpdir(), 'overlapped-sanitizer-'))
  try {
    const env = addonEnv('asan', logs)
    if (env === undefined) return { passed: 0, failed: 1 }
    spawnSync(process.execPath, ['--eval', program], { cwd: root, env: { ...process.env, ...env } })
    const isFound = ourReports(readLogs(logs)).some((report) => /heap-buffer-overflow/.test(report))
    console.log(`out-of-bounds in the addon: ${isFound ? 'found' : 'not found'}`)
    return { passed: isFound ? 1 : 0, failed: isFound ? 0 : 1 }
  } finally {
    rmSync(logs, { recursive: true })
  }
}

/** Tests whose native part differs most: features, ends of sessions, of threads, of processes; both drivers. */
const ASAN_FILES = ['send_path', 'driver']
const ASAN_SAMPLE = ['session_life', 'flow_control', 'stop', 'termination', 'cross_thread']
const ASAN_NAMES = [
  ...['closing resets', 'pause ', 'backpressure ', 'never repeat an id', 'connect'],
  'stop flushes what was sent',
  ...['(process.exit|terminate\\(\\) of its threads) after 5 ms', 'survives connections'],
].join('|')
/**
 * One for each driver, because an uninstrumented Node is many times slower with every memory function intercepted:
 * all threads send to connections that come and go. Without children: a shell does not start with this runtime.
 */
const TSAN_SAMPLE = ['cross_thread']
const TSAN_NAMES = 'survives connections'

const paths = (names) => names.map((name) => `test/e2e/${name}.test.ts`)

/**
 * `command(program, args, env)` shows its output; whether it succeeded. `vitest(args, env, isSample)` counts
 * tests.
 */
export function sanitizerSteps({ command, vitest, isCi }) {
  const build = () => {
    const isBuilt = Object.keys(BUILDS).every((name) => buildOne(command, name))
    return { passed: isBuilt ? 1 : 0, failed: isBuilt ? 0 : 1 }
  }
  const sum = (...counts) => ({
    passed: counts.reduce((all, { passed }) => all + passed, 0),
    failed: counts.reduce((all, { failed }) => all + failed, 0),
  })
  return [
    { name: 'sanitizers: build', run: build },
    { name: 'sanitizers: native stress', run: () => stressAll(isCi) },
    { name: 'sanitizers: planted bugs', run: () => sum(plantAll(isCi), plantInAddon()) },
    {
      name: 'sanitizers: addon in Node, AddressSanitizer',
      run: () =>
        testAddon('asan', (env) =>
          sum(
            vitest(paths(ASAN_FILES), env, false),
            vitest([...paths(ASAN_SAMPLE), '--testNamePattern', ASAN_NAMES], env, true),
          ),
        ),
    },
    {
      name: 'sanitizers: addon in Node, ThreadSanitizer',
      run: () =>
        testAddon('tsan', (env) =>
          vitest([...paths(TSAN_SAMPLE), '--testNamePattern', TSAN_NAMES], env, true),
        ),
    },
  ]
}
