// What: the drivers that the tests of this process run on.
// Flow: scripts/test.mjs (which also runs the e2e tests where io_uring is denied) -> this -> tests.
// Thread: the test's.

import { DRIVER_EPOLL, DRIVER_IOCP, DRIVER_URING, loadBinding } from '../../src/binding.ts'

export type Driver = 'io_uring' | 'epoll' | 'iocp'

/** Set by scripts/test.mjs for the run under a filter that denies io_uring. */
const denied = process.env.TESTS_IO_URING_DENIED === '1'

function usableDrivers(): readonly Driver[] {
  if (process.platform === 'win32') return ['iocp']
  const { reason } = loadBinding().probeDriver()
  if (denied) {
    if (reason === '') throw new Error('this run is meant to have io_uring denied, but it works')
    return ['epoll']
  }
  if (reason === '') return ['io_uring', 'epoll']
  if (process.env.TESTS_SKIP_NOTHING === '1')
    throw new Error(`io_uring cannot be tested: ${reason}`)
  console.warn(`SKIPPED: every test on io_uring, because ${reason}`)
  return ['epoll']
}

export const drivers = usableDrivers()
/** Driver and mode, for what is promised in every mode; update threads handle messages as they come. */
export const worlds = (['worker', 'update'] as const).flatMap((mode) =>
  drivers.map((driver) => ({ driver, mode, update: { eager: true } })),
)
/** Whether this is the run in which io_uring is denied. */
export const ioUringDenied = denied

const KINDS: Readonly<Record<Driver, number>> = {
  io_uring: DRIVER_URING,
  epoll: DRIVER_EPOLL,
  iocp: DRIVER_IOCP,
}

/** Its number in native/driver/driver.h. */
export function driverKind(driver: Driver): number {
  return KINDS[driver]
}
