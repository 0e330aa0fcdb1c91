// What: fails in the event that runtime.data names, by throwing or by rejecting; tells main of errors and leaves.
// Flow: bad_input.test.ts -> this -> bad_input.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let runtime = null

function fail(event) {
  // In mode update, workers have no runtime.
  if (runtime?.data.event !== event) return undefined
  runtime.post('main', { type: 'failing', event })
  if (runtime.data.how === 'throws') throw new Error(`in ${event}`)
  return Promise.reject(new Error(`in ${event}`))
}

export const events = {
  onStart(own) {
    runtime = own
  },
  onConnectionRequest() {
    fail('onConnectionRequest')
    return true
  },
  onJoin: () => fail('onJoin'),
  onRecv(session, packet) {
    if (packet.length > 0 && packet.text() === 'fill') {
      const bytes = new Uint8Array(16_384)
      while (session.send(bytes) === 'queued');
      runtime.post('main', { type: 'full', id: session.id })
      return undefined
    }
    session.send(packet)
    return fail('onRecv')
  },
  onDrain: () => fail('onDrain'),
  onSend: () => fail('onSend'),
  onLeave(session, reason) {
    runtime.post('main', { type: 'leave', id: session.id, reason })
    return fail('onLeave')
  },
  onMessage: () => fail('onMessage'),
}

export default defineHandler({
  ...events,
  onError(error, session) {
    const id = session?.id
    const leaving = session?.isOpen
    runtime.post('main', { type: 'error', message: error.message, id, leaving })
  },
})
