// What: what a driver is not tested for, and why: the only tests that it may lack.
// Flow: this -> conform.ts and test_windows.mjs, which leave them out; matrix.mjs, which allows nothing else to be absent.
// Thread: none; data.

/** `test`: one, or a group of them; a whole file without. */
/** @typedef {{ driver: 'sim' | 'io_uring' | 'epoll' | 'iocp', file: string, test?: string, reason: string }} Missing */

const CONNECTING = 'test/driver/connecting.test.ts'
const NO_TIMEOUT =
  'a system gives a connection up after minutes; what users ask for is a timer of the session, which cancels'
const NO_RESET =
  'where no receive is pending Wine takes the error from the socket, and what follows is its end'

/** Of the drivers' suite. @type {Missing[]} */
const ofSuite = [
  {
    driver: 'sim',
    file: 'test/driver/accepting.test.ts',
    test: 'A11: what is accepted has the send buffer of its listener',
    reason: 'the simulated network has one size for all',
  },
  {
    driver: 'sim',
    file: CONNECTING,
    test: 'A13: an address without a way is unreachable',
    reason: 'the simulated network has no addresses',
  },
  {
    driver: 'sim',
    file: CONNECTING,
    test: 'A14: a connection that nobody answers is cancelled',
    reason: 'the simulated network always answers, soon; test/sim cancels that by its seeds',
  },
  ...['io_uring', 'epoll', 'iocp'].map((driver) => ({
    driver: /** @type {Missing['driver']} */ (driver),
    file: CONNECTING,
    test: 'A6: a connection that the system gives up has timed out',
    reason: NO_TIMEOUT,
  })),
  {
    driver: 'iocp',
    file: 'test/driver/receiving.test.ts',
    test: 'paused, it hears of the end behind bytes that were not read',
    reason: 'Wine does not report it while there is something unread (docs/guide/windows.md)',
  },
  ...[
    'A6: a reset right behind bytes, which it may take with it',
    'paused, it hears that its peer has reset, once',
  ].map((test) => ({
    driver: /** @type {const} */ ('iocp'),
    file: 'test/driver/receiving.test.ts',
    test,
    reason: NO_RESET,
  })),
]

const MODES = ['worker', 'update', 'send']
const ACCEPTS_AHEAD =
  'on Windows libuv accepts ahead: who connects to a peer that stops may be connected for a moment'
const OUTBOUND = {
  'reconnecting > goes on until somebody listens, and again after the peer was restarted':
    ACCEPTS_AHEAD,
  'reconnecting > brings the sessions of each thread back to it, with what it keeps for them':
    ACCEPTS_AHEAD,
}
/** Of sessions that connect out. @type {Missing[]} */
const ofOutbound = MODES.flatMap((mode) =>
  Object.entries(OUTBOUND).map(([test, reason]) => ({
    driver: /** @type {const} */ ('iocp'),
    file: 'test/e2e/outbound.test.ts',
    test: `'*', mode '${mode}' > ${test}`,
    reason,
  })),
)

/** End-to-end tests of what one driver alone has, or Wine has not. */
const ofSome = [
  {
    drivers: ['iocp'],
    file: 'test/e2e/driver.test.ts',
    test: 'hears of a reset that came with bytes, both before the worker looked',
    reason: NO_RESET,
  },
  ...['on an idle server', 'while 64 connections echo at full rate'].map((when) => ({
    drivers: ['iocp'],
    file: 'test/e2e/node_apis.test.ts',
    test: `fetch answers ${when}`,
    reason: 'fetch sets TCP_KEEPIDLE before it connects, an option that Wine 8 does not know',
  })),
  {
    drivers: ['iocp'],
    file: 'test/e2e/termination.test.ts',
    test: "'*', 'worker' > an idle server uses no CPU",
    reason: 'it reads what a process has used from /proc, which Windows has not',
  },
  {
    drivers: ['iocp'],
    file: 'test/e2e/update_behind.test.ts',
    test: 'thousands of sessions that speak between two ticks hold no receive buffers',
    reason:
      'Wine is so slow with thousands of sockets that most of them are heard in one turn, in which buffers do run out',
  },
  {
    drivers: ['epoll', 'iocp'],
    file: 'test/e2e/driver.test.ts',
    test: 'features of * ruled out',
    reason: 'they are those of io_uring',
  },
  {
    drivers: ['io_uring', 'epoll'],
    file: 'test/e2e/driver.test.ts',
    test: 'ways of * ruled out',
    reason: 'they are those of IOCP',
  },
  {
    drivers: ['epoll', 'iocp'],
    file: 'test/e2e/zero_copy.test.ts',
    test: '*, zeroCopy auto',
    reason: 'only io_uring is told whether the kernel has copied',
  },
].flatMap(({ drivers, ...rest }) =>
  drivers.map((driver) => ({ driver: /** @type {Missing['driver']} */ (driver), ...rest })),
)

/** End-to-end tests that IOCP lacks, by file. @type {Readonly<Record<string, string>>} */
const notOnWindows = {
  'test/e2e/abuse/exhaustion.test.ts': 'limits of descriptors are those of Linux (prlimit)',
  'test/e2e/abuse/fairness.test.ts': 'its client is a program in C for Linux',
  'test/e2e/abuse/signals.test.ts': 'Windows has no signals; SIGTERM ends a process at once',
  'test/e2e/abuse/silent.test.ts': 'its client is a program in C for Linux',
  'test/e2e/abuse/stalled.test.ts': 'its client is a program in C for Linux',
  'test/e2e/abuse/storm.test.ts':
    'its client is a program in C for Linux; windows.test.ts has storms from such a client',
  'test/e2e/cli.test.ts': 'it drives a shell, signals and Unix pipes',
  'test/e2e/examples.test.ts': 'it reads what child processes print by pipes, which Wine refuses',
  'test/e2e/load.test.ts':
    'the load client is a user of the library, whose drivers are tested beside it',
  'test/e2e/seccomp.test.ts': 'filters of system calls are of Linux',
  'test/e2e/socket_options.test.ts':
    'it reads options by pidfd_getfd(2); the suite of the drivers shows what they do (A11)',
  'test/e2e/windows.test.ts': 'it runs on Linux, against a server under Wine',
}

/** @type {readonly Missing[]} */
export const missing = [
  ...ofSuite,
  ...ofSome,
  ...ofOutbound,
  ...Object.entries(notOnWindows).map(([file, reason]) => ({
    driver: /** @type {const} */ ('iocp'),
    file,
    reason,
  })),
]
