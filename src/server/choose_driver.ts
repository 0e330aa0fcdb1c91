// What: which driver a server gets, and why.
// Flow: options, a try of io_uring -> this -> server, info().
// Thread: main.

import { type Binding, IO_URING_FEATURES } from '../binding.ts'
import { OverlappedError } from '../errors.ts'
import type { DriverChoice, DriverName, IoUringFeature, ZeroCopy } from './options.ts'

/** A driver, why it is this one, and what of zero copy is in force on it. */
export interface DriverDecision {
  readonly driver: DriverName
  readonly reason: string
  readonly zeroCopy: ZeroCopy
}

/**
 * `auto` takes io_uring where this process may use it (tried, with a real operation), else epoll. The reason
 * names what io_uring goes without, and says where sends are copied although they were asked not to be.
 * @throws {OverlappedError} ERR_DRIVER_UNAVAILABLE
 */
export function chooseDriver(
  binding: Pick<Binding, 'probeUring'>,
  choice: DriverChoice,
  without: readonly IoUringFeature[] = [],
  zeroCopy: ZeroCopy = 'off',
): DriverDecision {
  const decide = (driver: DriverName, reason: string, copiesNothing: boolean): DriverDecision => {
    if (copiesNothing || zeroCopy === 'off') return { driver, reason, zeroCopy }
    // `auto` is content with what there is.
    const told = zeroCopy === 'auto' ? '' : `; zeroCopy is not in force, ${driver} copies here`
    return { driver, reason: reason + told, zeroCopy: 'off' }
  }
  if (choice === 'epoll') return decide('epoll', 'asked for', false)
  const { reason, features } = binding.probeUring()
  const lacks = withoutFeatures(features, without)
  const copiesNothing =
    (features & IO_URING_FEATURES.zeroCopy) !== 0 && !without.includes('zeroCopy')
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

/** What io_uring goes without, and why; '' when it has everything. */
function withoutFeatures(features: number, without: readonly IoUringFeature[]): string {
  const names = Object.keys(IO_URING_FEATURES) as IoUringFeature[]
  const lacking = names.filter((name) => (features & IO_URING_FEATURES[name]) === 0)
  const ruledOut = without.filter((name) => !lacking.includes(name))
  const parts: string[] = []
  if (lacking.length > 0) parts.push(`the kernel lacks ${lacking.join(', ')}`)
  if (ruledOut.length > 0) parts.push(`ioUringWithout rules out ${ruledOut.join(', ')}`)
  return parts.length === 0 ? '' : `; ${parts.join('; ')}`
}
