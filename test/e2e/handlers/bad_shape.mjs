// What: a handler with an event that does not exist.
// Flow: stop.test.ts -> this.
// Thread: a worker, which refuses it.

import { defineHandler } from 'overlapped'

export default defineHandler({ onRecieve() {} })
