// What: the handler of scenario/gather.mjs: answers with as many messages as it is asked for, each a slice of its own.
// Flow: onRecv -> a prepared buffer, sent so many times -> one gather or several.
// Thread: the I/O worker of the server under test.
//
// A request is two words: how many messages, of how many bytes. scenario/gather_client.c knows what is in them.

import { defineHandler } from 'overlapped'

const COUNT_OFFSET = 0
const SIZE_OFFSET = 4

/** By size: messages are the same memory, so that no two slices of a session lie behind one another. */
const prepared = new Map()

function messageOf(runtime, size) {
  const found = prepared.get(size)
  if (found !== undefined) return found
  const made = runtime.prepare(Uint8Array.from({ length: size }, (_, i) => i * 31 + 7))
  prepared.set(size, made)
  return made
}

export default defineHandler({
  onRecv(session, packet) {
    const message = messageOf(session.runtime, packet.u32(SIZE_OFFSET))
    for (let left = packet.u32(COUNT_OFFSET); left > 0; left--) {
      const sent = session.send(message)
      if (sent !== 'queued') throw new Error(`a message was not queued: ${sent}`)
    }
  },
  onStop() {
    for (const message of prepared.values()) message.release()
    prepared.clear()
  },
})
