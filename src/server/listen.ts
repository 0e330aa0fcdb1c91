// What: opens the listening socket of a listener; a host name is resolved before.
// Flow: server -> this -> native listen.
// Thread: main.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { assert } from '../assert.ts'
import type { Binding } from '../binding.ts'
import { OverlappedError } from '../errors.ts'
import type { ResolvedListener } from './options.ts'

/**
 * Returns the port.
 * @throws {OverlappedError} ERR_LISTEN, ERR_ADDRESS_IN_USE, ERR_ADDRESS_UNAVAILABLE, ERR_PERMISSION
 */
export async function listenOn(
  binding: Binding,
  runtimeId: number,
  listener: ResolvedListener,
): Promise<number> {
  const { name, host, port } = listener
  const where = `listener '${name}' cannot listen on ${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  let address = host
  if (isIP(host) === 0) {
    try {
      address = (await lookup(host)).address
    } catch (cause) {
      throw new OverlappedError(
        'ERR_ADDRESS_UNAVAILABLE',
        `${where}: the host name cannot be resolved`,
        { cause },
      )
    }
  }
  const { errno, value } = binding.listen(
    runtimeId,
    address,
    port,
    listener.backlog,
    listener.noDelay,
    listener.sendBufferBytes,
    listener.receiveBufferBytes,
  )
  if (errno === 0) {
    assert(value > 0, 'a listening socket has a port')
    return value
  }
  switch (getSystemErrorName(-errno)) {
    case 'EADDRINUSE':
      throw new OverlappedError(
        'ERR_ADDRESS_IN_USE',
        `${where}: another socket listens there; port 0 picks a free one`,
      )
    case 'EADDRNOTAVAIL':
      throw new OverlappedError(
        'ERR_ADDRESS_UNAVAILABLE',
        `${where}: the host is not an address of this machine`,
      )
    case 'EACCES':
      throw new OverlappedError(
        'ERR_PERMISSION',
        `${where}: the system does not allow it; ports from 1024 need no privilege`,
      )
    default:
      throw new OverlappedError('ERR_LISTEN', `${where}: ${getSystemErrorName(-errno)}`)
  }
}
