// What: starts servers whose sessions do what main says (test/e2e/handlers/life.mjs).
// Flow: tests -> this -> a server with a listener of each kind -> tests.
// Thread: the test's; the server's workers.

import { lengthPrefix, raw, type ServerOptions } from 'overlapped'
import { handler, startServer, type TestServer } from './e2e_server.ts'

const MIB = 2 ** 20
const SLOW_SEND_BYTES = 65_536
const framing = lengthPrefix({ bytes: 4, maxPayloadLength: MIB })

/** `slow` has a small socket buffer, `pausing` begins with its sessions paused. */
export function startLife(
  options: Omit<ServerOptions, 'listeners' | 'handler'>,
): Promise<TestServer> {
  return startServer({
    handler: handler('life'),
    listeners: [
      { name: 'main', port: 0, framing },
      { name: 'slow', port: 0, framing, sendBufferBytes: SLOW_SEND_BYTES },
      { name: 'raw', port: 0, framing: raw() },
      { name: 'reset', port: 0, framing, closeMode: 'reset' },
      { name: 'pausing', port: 0, framing },
    ],
    ...options,
  })
}
