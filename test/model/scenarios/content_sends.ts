// What: models of a worker, an update thread and a send thread together: a session's end, pins, full queues.
// Flow: content.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import type { Scenario } from '../explore.ts'
import { content, LIFE } from './content.ts'

const SEND = ['LANE-3', 'LANE-4', 'SENDFLAG-2', 'IOCOUNT-2', 'IOCOUNT-3', 'IOCOUNT-5']

export const scenarios: readonly Scenario[] = [
  content('content: a send thread sends the answer, the peer has ended', [...LIFE, ...SEND], {
    sends: [1],
    isEnded: true,
    hears: [1],
    gets: [1],
    before: 'received',
    ownerTurns: 1,
    takerTurns: 1,
    senderTurns: 1,
    leaves: 'peerClosed',
  }),
  content('content: it closes behind an answer that a send thread sends', [...LIFE, ...SEND], {
    sends: [1, 2],
    does: 'close',
    hears: [1],
    gets: [1],
    before: 'received',
    ownerTurns: 1,
    takerTurns: 1,
    senderTurns: 1,
    leaves: 'localClose',
  }),
  content('content: a send thread has its socket, it has a pin, its owner terminates', SEND, {
    sends: [1],
    before: 'handled',
    own: 'terminate',
    ownerTurns: 0,
    takerTurns: 0,
    senderTurns: 1,
    later: ['pin', 'unpin'],
    leaves: 'localTerminate',
  }),
  content('content: it has a pin and sends while its owner terminates', SEND, {
    before: 'handled',
    own: 'terminate',
    ownerTurns: 1,
    takerTurns: 0,
    senderTurns: 0,
    later: ['pin', 'send', 'unpin'],
    leaves: 'localTerminate',
  }),
  content('content: it is told full, a send thread sends', [...LIFE, ...SEND, 'DRAIN-1'], {
    sends: [1],
    does: 'fill',
    before: 'received',
    maxBackpressure: 6,
    ownerTurns: 0,
    takerTurns: 1,
    senderTurns: 1,
  }),
  content('content: it is told full while a send thread sends what waits', ['DRAIN-1'], {
    sends: [1],
    before: 'handled',
    maxBackpressure: 4,
    ownerTurns: 0,
    takerTurns: 0,
    senderTurns: 1,
    later: ['fill'],
  }),
]
