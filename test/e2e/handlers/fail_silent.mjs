// What: fail.mjs without onError.
// Flow: bad_input.test.ts -> this -> fail.mjs.
// Thread: a worker.

import { defineHandler } from 'overlapped'
import { events } from './fail.mjs'

export default defineHandler(events)
