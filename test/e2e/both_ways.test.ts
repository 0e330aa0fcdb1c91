// What: mode send: one session is received from and sent to at the same time in two threads, and nobody takes a lock.
// Flow: a node:net client that floods and is flooded -> worker, update thread, send thread -> counters, words, streams.
// Thread: the test's; the server's worker, update and send thread.

import { lengthPrefix } from 'overlapped'
import { describe, expect, it } from 'vitest'
import { GROUP_DIRECTORY_LOCK, SESSION_QUEUED_BYTES } from '../../src/layout/layout.ts'
import { slotOf } from '../../src/shared/session_id.ts'
import { drivers } from '../helpers/drivers.ts'
import { type Client, disconnectAfterEach, frame, join, unframe } from '../helpers/e2e_client.ts'
import { handler, startServer, stopAfterEach, type TestServer } from '../helpers/e2e_server.ts'
import { inside } from '../helpers/inside.mjs'
import { words } from '../helpers/table_snapshot.ts'

const KIB = 1024
const MIB = 2 ** 20
const MESSAGE_BYTES = 1000
const FRAME_BYTES = 4 + MESSAGE_BYTES
/** More than half of it waits for a peer that does not read: content is told to go on before it is less. */
const MAX_BACKPRESSURE = 16 * MIB
/** What goes each way when nothing stands still. */
const FLOWED_BYTES = 4 * MIB
const ROUNDS = 8
const MESSAGES_PER_ROUND = 50
/** More than the way to an update thread holds, and both sockets. */
const FLOOD_MESSAGES = 24_000

disconnectAfterEach()
stopAfterEach()

/** Numbered messages, as the handler checks them. */
function numbered(from: number, count: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, at) => {
      const message = Buffer.alloc(MESSAGE_BYTES, (from + at) & 0xff)
      message.writeUInt32BE(from + at)
      return frame(message)
    }),
  )
}

/** What the worker has received and the send thread has sent; how much of it content has seen. */
function sample(test: TestServer) {
  const { threads } = test.server.monitor.snapshot()
  const countersOf = (name: string) => {
    const found = threads.find((thread) => thread.name === name)
    if (found === undefined) throw new Error(`there is no thread '${name}'`)
    return found.counters
  }
  const [worker, update, send] = ['worker1', 'update1', 'send1'].map(countersOf)
  return {
    inBytes: worker.bytesIn,
    outBytes: send.bytesOut,
    stalls: worker.jobsStalled,
    queued: update.messagesOut,
    others: worker.bytesOut + worker.gathers + update.bytesOut + send.bytesIn,
  }
}

/** Reads what is there, once. */
async function readSome({ socket }: Client): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.once('data', () => {
      socket.pause()
      resolve()
    })
    socket.resume()
  })
}

/**
 * The one lock of a server is the test's: whoever takes it waits for ever. What is returned gives it back, and says
 * what others have changed in its word.
 */
function takeLock(): () => number {
  const { plan } = inside.arena as NonNullable<typeof inside.arena>
  const all = words()
  const at = plan.groupsAt + GROUP_DIRECTORY_LOCK
  // Nobody's number.
  const holder = plan.threadCount + 1
  expect(Atomics.compareExchange(all, at, 0, holder)).toBe(0)
  return () => Atomics.exchange(all, at, 0) - holder
}

function queuedBytes(id: number): number {
  const arena = inside.arena as NonNullable<typeof inside.arena>
  return Atomics.load(words(), arena.sessionAt(slotOf(id)) + SESSION_QUEUED_BYTES)
}

describe.each(drivers)('%s', (driver) => {
  it('a session is received from and sent to at once; no lock is taken [LOCK-1]', async () => {
    const test = await startServer({
      driver,
      mode: 'send',
      workers: 1,
      handler: handler('both_ways'),
      update: { threads: 1, eager: true },
      listeners: [
        {
          port: 0,
          framing: lengthPrefix({ bytes: 4, maxPayloadLength: MIB }),
          sendBufferBytes: 64 * KIB,
          receiveBufferBytes: 64 * KIB,
        },
      ],
      receiveBuffers: 64,
      maxBackpressure: MAX_BACKPRESSURE,
      // IOCP completes a send when all of it was taken: each is a small part of what waits.
      maxGather: 8,
      arenaBytes: 128 * MIB,
    })
    // It has not read yet, so that its socket is small.
    const { client, id } = await join(test, undefined, { paused: true })
    const giveBack = takeLock()
    try {
      let written = 0
      test.tell({ do: 'flood' })
      await test.until('its peer to be behind', () => 2 * queuedBytes(id) > MAX_BACKPRESSURE)
      const gate = new Int32Array(new SharedArrayBuffer(4))
      test.tell({ do: 'stand still', gate })
      await test.until('its content to stand still', () => Atomics.load(gate, 0) === 1)

      // From here to the end of that one call of its handler both directions go on, side by side.
      const still = sample(test)
      for (let round = 0; round < ROUNDS; round++) {
        const before = sample(test)
        client.write(numbered(written, MESSAGES_PER_ROUND))
        written += MESSAGES_PER_ROUND
        while (sample(test).outBytes === before.outBytes) await readSome(client)
        await test.until('what was written to be received', () => {
          return sample(test).inBytes === written * FRAME_BYTES
        })
        const after = sample(test)
        expect(after.inBytes).toBeGreaterThan(before.inBytes)
        expect(after.outBytes).toBeGreaterThan(before.outBytes)
      }
      // Until the ring is full on one side, and nothing is left to send on the other.
      client.write(numbered(written, FLOOD_MESSAGES))
      written += FLOOD_MESSAGES
      client.resume()
      await test.until('each side to end', () => {
        return sample(test).stalls > still.stalls && queuedBytes(id) === 0
      })
      const end = sample(test)
      expect(end.queued).toBe(still.queued)
      expect(end.others).toBe(0)
      expect(end.inBytes).toBeLessThan(written * FRAME_BYTES)
      expect(Atomics.load(gate, 0)).toBe(1)

      Atomics.store(gate, 0, 2)
      Atomics.notify(gate, 0)
      await test.until('everything to be received', () => {
        return sample(test).inBytes === written * FRAME_BYTES
      })
      // Both flood freely.
      const { outBytes } = sample(test)
      const more = Math.ceil(FLOWED_BYTES / FRAME_BYTES)
      client.write(numbered(written, more))
      written += more
      await test.until('both to have gone on', () => {
        const now = sample(test)
        return now.inBytes === written * FRAME_BYTES && now.outBytes >= outBytes + FLOWED_BYTES
      })
      const sent = (await test.order('stop')) as number
      const messages = unframe(await client.take(sent * FRAME_BYTES))
      for (const [at, message] of messages.entries()) {
        if (message.readUInt32BE(0) !== at || message[MESSAGE_BYTES - 1] !== (at & 0xff))
          throw new Error(`message ${at} is ${message.readUInt32BE(0)}`)
      }
      expect(messages).toHaveLength(sent)
      let heard = { received: 0, wrong: 0 }
      while (heard.received < written) heard = (await test.order('received')) as typeof heard
      expect(heard).toEqual({ received: written, wrong: 0 })
    } finally {
      // Nobody has waited for it, which would show in the word.
      expect(giveBack()).toBe(0)
    }
  })
})
