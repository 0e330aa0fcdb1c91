// What: a handler with an event that is not a function.
// Flow: stop.test.ts -> this.
// Thread: a worker, which refuses it.

import { defineHandler } from 'overlapped'

export default defineHandler({ onRecv: 'echo' })
