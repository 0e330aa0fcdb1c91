// What: the relay handler of the benchmark: every message goes to its sender's partner, wherever that is.
// Flow: a session's first message -> its client and session id to all workers -> onRecv -> runtime.send.
// Thread: each I/O worker of the server under test.
//
// The first four bytes of a message are the number of its sender (16 bits) and of the sender's
// partner (16 bits). Serves one load client; a second one would find the sessions of the first.

import { writeSync } from 'node:fs'
import { defineHandler } from 'overlapped'

const STDOUT = 1

/** By number of the client: { id, thread } of its session. */
const known = new Map()
/** By number of the client: sessions whose messages wait until its session is known. */
const waiting = new Map()

let runtime
let channel
/** Answers by where the session is: with this worker, with another one. */
const answers = { own: 0, foreign: 0 }

function learn({ client, id, thread }) {
  known.set(client, { id, thread })
  const session = waiting.get(client)
  waiting.delete(client)
  if (session !== undefined) begin(session, known.get(client))
}

/** Its partner is known: what has waited goes out, in order, before anything that comes later. */
function begin(session, { id, thread }) {
  const { data } = session
  data.partner = id
  data.place = thread === runtime.thread ? 'own' : 'foreign'
  for (const bytes of data.kept) answer(data, bytes)
  data.kept = null
}

function answer(data, message) {
  const sent = runtime.send(data.partner, message)
  if (sent !== 'queued') throw new Error(`an answer was not sent: ${sent}`)
  answers[data.place]++
}

function introduce(session, packet) {
  const client = packet.u16(0)
  const partner = packet.u16(2)
  session.data = { partner: 0, place: '', kept: [] }
  const own = { client, id: session.id, thread: runtime.thread }
  channel.postMessage(own)
  learn(own)
  if (known.has(partner)) begin(session, known.get(partner))
  else waiting.set(partner, session)
}

export default defineHandler({
  onStart(own) {
    runtime = own
    channel = new BroadcastChannel('relay')
    channel.onmessage = ({ data }) => learn(data)
  },
  onRecv(session, packet) {
    if (session.data === undefined) introduce(session, packet)
    const { data } = session
    if (data.kept === null) answer(data, packet)
    else data.kept.push(packet.copy())
  },
  onStop() {
    channel.close()
    writeSync(STDOUT, `relayed ${JSON.stringify(answers)}\n`)
  },
})
