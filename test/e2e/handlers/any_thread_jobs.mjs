// What: jobs that do to any session what other threads do.
// Flow: any_thread.test.ts -> this -> the clients of any_thread.test.ts.
// Thread: the job threads' of a server under test.

import { defineJobs } from 'overlapped'
import { actions, stamp, untilEnd } from '../../helpers/any_thread.mjs'
import '../../helpers/inside.mjs'

export default defineJobs({
  act: (order, runtime) => actions[order.do](runtime, order),
  /** Holds a pin until main says that it is over; stamped while it is still held. */
  hold({ id }, runtime) {
    const pin = runtime.pin(id)
    runtime.post('main', { type: 'held', id })
    runtime.jobs.blocking(() => untilEnd(runtime))
    const stamped = stamp(runtime)
    pin.unpin()
    return stamped
  },
})
