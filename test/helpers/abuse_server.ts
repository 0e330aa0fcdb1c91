// What: starts servers whose every slot was used once, so that what a test loses afterwards shows in a snapshot.
// Flow: abuse tests -> this -> a server, peers that fill it and go -> a snapshot of what there is then.
// Thread: the test's; the server's workers; a child process of peers.

import type { ServerOptions } from 'overlapped'
import { Abuse } from './abuse_client.ts'
import { handler, startServer, type TestServer } from './e2e_server.ts'
import { type Snapshot, snapshot, turnChunks } from './table_snapshot.ts'

type UsedServerOptions = ServerOptions & Required<Pick<ServerOptions, 'maxSessions' | 'chunkBytes'>>

/** Two workers, unless told otherwise; the peers come by the first listener. */
export async function startUsedServer(
  options: UsedServerOptions,
): Promise<{ readonly test: TestServer; readonly before: Snapshot }> {
  const { maxSessions, chunkBytes } = options
  const test = await startServer({ workers: 2, handler: handler('abuse'), ...options })
  const peers = new Abuse('hold', test.port(), { count: maxSessions })
  await test.until('every slot to be used', () => test.count('joined') === maxSessions)
  await peers.drop()
  await peers.end()
  await turnChunks(test, chunkBytes)
  return { test, before: await snapshot(test) }
}
