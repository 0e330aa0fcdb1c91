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
} from '../binding.ts'
import { OverlappedError } from '../errors.ts'
import type { DriverChoice, DriverName, IocpFeature, IoUringFeature } from './options.ts'

export const DRIVER_NUMBERS: Readonly<Record<DriverName, number>> = {
  io_uring: DRIVER_URING,
  epoll: DRIVER_EPOLL,
  iocp: DRIVER_IOCP,
}

/** Feature bits of native/driver/driver.h that a driver must do without. */
export function featureBits(
  ioUringWithout: readonly IoUringFeature[],
  iocpWithout: readonly IocpFeature[],
): number {
  let bits = 0
  for (const feature of ioUringWithout) bits |= IO_URING_FEATURES[feature]
  for (const feature of iocpWithout) bits |= IOCP_FEATURES[feature]
  return bits
}

/**
 * `auto` takes iocp on Windows; elsewhere io_uring where this process may use it (tried, with a real operation), else
 * epoll. The reason names what the driver goes without.
 * @throws {OverlappedError} ERR_DRIVER_UNAVAILABLE
 */
export function chooseDriver(
  binding: Pick<Binding, 'probeUring'>,
  choice: DriverChoice,
  ioUringWithout: readonly IoUringFeature[] = [],
  iocpWithout: readonly IocpFeature[] = [],
  platform: NodeJS.Platform = process.platform,
): { readonly driver: DriverName; readonly reason: string } {
  if (platform === 'win32') {
    const lacks = ruledOut('iocpWithout', iocpWithout)
    if (choice === 'auto') return { driver: 'iocp', reason: `auto: this is Windows${lacks}` }
    if (choice === 'iocp') return { driver: 'iocp', reason: `asked for${lacks}` }
    throw unavailable(choice, 'is a part of Linux', "'auto' and 'iocp' work here")
  }
  if (choice === 'iocp')
    throw unavailable(
      choice,
      'is a part of Windows',
      "'auto', 'io_uring' and 'epoll' are for Linux",
    )
  if (choice === 'epoll') return { driver: 'epoll', reason: 'asked for' }
  const { reason, features } = binding.probeUring()
  const lacks = withoutFeatures(features, ioUringWithout)
  if (choice === 'io_uring') {
    if (reason === '') return { driver: 'io_uring', reason: `asked for${lacks}` }
    throw new OverlappedError(
      'ERR_DRIVER_UNAVAILABLE',
      `driver is 'io_uring', but ${reason}; 'auto' and 'epoll' work here`,
    )
  }
  if (reason === '') return { driver: 'io_uring', reason: `auto: the probe succeeded${lacks}` }
  return { driver: 'epoll', reason: `auto: ${reason}` }
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
