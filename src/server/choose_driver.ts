// What: which driver a server gets, and why.
// Flow: options, the probe of io_uring, the system -> this -> server.
// Thread: main.

import {
  type Binding,
  DRIVER_EPOLL,
  DRIVER_IOCP,
  DRIVER_URING,
  IO_URING_FEATURES,
  IOCP_FEATURES,
  IOCP_SEND_BUFFER,
} from '../binding.ts'
import { OverlappedError } from '../errors.ts'
import type { DriverName, IoUringFeature, ResolvedOptions, ZeroCopy } from './options.ts'

export const DRIVER_NUMBERS: Readonly<Record<DriverName, number>> = {
  io_uring: DRIVER_URING,
  epoll: DRIVER_EPOLL,
  iocp: DRIVER_IOCP,
}

/** What of the options a driver is chosen by. */
export type DriverWishes = Pick<ResolvedOptions, 'driver'> &
  Partial<Pick<ResolvedOptions, 'ioUringWithout' | 'iocpWithout' | 'zeroCopy'>>

/** A driver, why it is this one, and what is in force on it. */
export interface DriverDecision {
  readonly driver: DriverName
  readonly reason: string
  readonly zeroCopy: ZeroCopy
  /** Feature bits of native/driver/driver.h that the driver must do without. */
  readonly featuresForbidden: number
}

/**
 * `auto` takes iocp on Windows; elsewhere io_uring where this process may use it (tried, with a real operation), else
 * epoll. The reason names what the driver goes without, and says where sends are copied although they were asked
 * not to be.
 * @throws {OverlappedError} ERR_DRIVER_UNAVAILABLE
 */
export function chooseDriver(
  binding: Pick<Binding, 'probeDriver'>,
  wishes: DriverWishes,
  platform: NodeJS.Platform = process.platform,
): DriverDecision {
  return platform === 'win32' ? onWindows(binding, wishes) : onLinux(binding, wishes)
}

function onLinux(
  binding: Pick<Binding, 'probeDriver'>,
  { driver: choice, ioUringWithout = [], zeroCopy = 'off' }: DriverWishes,
): DriverDecision {
  const featuresForbidden = bitsOf(IO_URING_FEATURES, ioUringWithout)
  const decide = (driver: DriverName, why: string, copiesNothing: boolean): DriverDecision => ({
    driver,
    featuresForbidden,
    ...inForce(driver, why, zeroCopy, copiesNothing),
  })
  if (choice === 'iocp')
    throw unavailable(
      choice,
      'is a part of Windows',
      "'auto', 'io_uring' and 'epoll' are for Linux",
    )
  if (choice === 'epoll') return decide('epoll', 'asked for', false)
  const { reason, features } = binding.probeDriver()
  const lacks = withoutFeatures(features, ioUringWithout)
  const copiesNothing =
    (features & IO_URING_FEATURES.zeroCopy) !== 0 && !ioUringWithout.includes('zeroCopy')
  if (choice === 'io_uring') {
    if (reason === '') return decide('io_uring', `asked for${lacks}`, copiesNothing)
    throw new OverlappedError(
      'ERR_DRIVER_UNAVAILABLE',
      `driver is 'io_uring', but ${reason}; 'auto' and 'epoll' work here`,
    )
  }
  if (reason === '') return decide('io_uring', `auto: the probe succeeded${lacks}`, copiesNothing)
  return decide('epoll', `auto: ${reason}`, false)
}

/**
 * Without a copy, a socket has no send buffer (SO_SNDBUF 0), and every send, whatever its size, is pending until the peer
 * has acknowledged it. For small sends that is slow, so it is not what `auto` takes.
 */
function onWindows(
  binding: Pick<Binding, 'probeDriver'>,
  { driver: choice, iocpWithout = [], zeroCopy = 'off' }: DriverWishes,
): DriverDecision {
  if (choice !== 'auto' && choice !== 'iocp')
    throw unavailable(choice, 'is a part of Linux', "'auto' and 'iocp' work here")
  const why = choice === 'auto' ? 'auto: this is Windows' : 'asked for'
  const copiesNothing = (binding.probeDriver().features & IOCP_SEND_BUFFER) !== 0
  const decided = inForce(
    'iocp',
    why + ruledOut('iocpWithout', iocpWithout),
    zeroCopy,
    copiesNothing && zeroCopy !== 'auto',
  )
  const pends = decided.zeroCopy === 'off' ? 0 : IOCP_FEATURES.trySend | IOCP_SEND_BUFFER
  return {
    driver: 'iocp',
    featuresForbidden: bitsOf(IOCP_FEATURES, iocpWithout) | pends,
    ...decided,
  }
}

function inForce(
  driver: DriverName,
  reason: string,
  zeroCopy: ZeroCopy,
  copiesNothing: boolean,
): { readonly reason: string; readonly zeroCopy: ZeroCopy } {
  if (copiesNothing || zeroCopy === 'off') return { reason, zeroCopy }
  // `auto` is content with what there is.
  const told = zeroCopy === 'auto' ? '' : `; zeroCopy is not in force, ${driver} copies here`
  return { reason: reason + told, zeroCopy: 'off' }
}

function bitsOf<N extends string>(bits: Readonly<Record<N, number>>, names: readonly N[]): number {
  return names.reduce((sum, name) => sum | bits[name], 0)
}

function unavailable(choice: string, why: string, works: string): OverlappedError {
  return new OverlappedError(
    'ERR_DRIVER_UNAVAILABLE',
    `driver is '${choice}', which ${why}; ${works}`,
  )
}

function ruledOut(option: string, features: readonly string[]): string {
  return features.length === 0 ? '' : `; ${option} rules out ${features.join(', ')}`
}

/** What io_uring goes without, and why; '' when it has everything. */
function withoutFeatures(features: number, without: readonly IoUringFeature[]): string {
  const names = Object.keys(IO_URING_FEATURES) as IoUringFeature[]
  const lacking = names.filter((name) => (features & IO_URING_FEATURES[name]) === 0)
  const others = without.filter((name) => !lacking.includes(name))
  const kernel = lacking.length === 0 ? '' : `; the kernel lacks ${lacking.join(', ')}`
  return kernel + ruledOut('ioUringWithout', others)
}
