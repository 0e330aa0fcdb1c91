// What: which driver a server gets, and why.
// Flow: options, a try of io_uring -> this -> server, info().
// Thread: main.

import { type Binding, IO_URING_FEATURES } from '../binding.ts'
import { OverlappedError } from '../errors.ts'
import type { DriverChoice, DriverName, IoUringFeature } from './options.ts'

/**
 * `auto` takes io_uring where this process may use it (tried, with a real operation), else epoll. The reason
 * names what io_uring goes without.
 * @throws {OverlappedError} ERR_DRIVER_UNAVAILABLE
 */
export function chooseDriver(
  binding: Pick<Binding, 'probeUring'>,
  choice: DriverChoice,
  without: readonly IoUringFeature[] = [],
): { readonly driver: DriverName; readonly reason: string } {
  if (choice === 'epoll') return { driver: 'epoll', reason: 'asked for' }
  const { reason, features } = binding.probeUring()
  const lacks = withoutFeatures(features, without)
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
