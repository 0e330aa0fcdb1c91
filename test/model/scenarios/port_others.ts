// What: models of what else happens at a completion port: threads open it, look, block, are given up, get their own entries.
// Flow: completion_port, port_queue, port_threads, port.ts -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  PORT_LIMIT,
  PORT_PLACES_AT,
  PORT_THREAD_DIRECT_HEAD,
  PORT_THREAD_STATE,
  PORT_THREADS_USED,
  PORT_WAITS,
  PortThreadState,
} from '../../../src/layout/layout.ts'
import { CompletionPort } from '../../../src/shared/completion_port.ts'
import { PortQueue } from '../../../src/shared/port_queue.ts'
import { kindOf, numberOf } from '../../../src/shared/port_threads.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'
import { PortWorld, QueueTwin, Taker, world } from './port.ts'

const KEYS = [7, 8] as const

/** What stands in the first place. */
const placeIn = (made: PortWorld): number => made.words[made.words[PORT_PLACES_AT]]

function checkPlacesFree({ words }: PortWorld): void {
  for (let place = 0; place < words[PORT_LIMIT]; place++)
    check(words[words[PORT_PLACES_AT] + place] === 0, 'PORT-4: every place is free')
}

// --- threads that come ---------------------------------------------------------------------------

/** Two threads open the port at once. */
function opening(): Scenario {
  const made = new PortWorld({ threads: 3, limit: 1 })
  return {
    name: 'port: two threads open it',
    invariants: ['PORT-10'],
    words: made.words,
    build() {
      const [looker] = made.open(1)
      const got: number[] = []
      const open = (at: number) => {
        got[at] = CompletionPort.open(made.handle, KEYS[at]).thread
      }
      return {
        threads: {
          first() {
            open(0)
          },
          second() {
            open(1)
          },
        },
        outcome: () => got.join(),
        check() {
          check(got.toSorted().join() === '1,2', `PORT-10: their numbers are ${got.join()}`)
          check(made.words[PORT_THREADS_USED] === 3, 'PORT-10: others look at each of them')
          const { devices } = looker.snapshot()
          for (const [at, number] of got.entries()) {
            check(looker.keyOf(number) === KEYS[at], 'PORT-10: each has its own key')
            check(devices[number].key === KEYS[at], 'PORT-10: all are shown')
          }
        },
      }
    },
  }
}

/** What a thread does that looks at all threads, what is there before, and what is there at the end. */
interface Looking {
  readonly what: string
  prepare(ports: readonly CompletionPort[]): void
  run(ports: readonly CompletionPort[]): void
  finish(ports: readonly CompletionPort[]): void
}

/** A thread opens the port meanwhile. */
function opensWhile(looking: Looking): Scenario {
  const made = new PortWorld({ threads: 4, limit: 1 })
  return {
    name: `port: a thread opens it while another one ${looking.what}`,
    invariants: ['PORT-10'],
    words: made.words,
    build() {
      const ports = made.open(3)
      looking.prepare(ports)
      let number = -1
      return {
        threads: {
          opener() {
            number = CompletionPort.open(made.handle).thread
          },
          other() {
            looking.run(ports)
          },
        },
        check() {
          check(number === 3 || number === 1, `PORT-10: its number is ${number}`)
          looking.finish(ports)
        },
      }
    },
  }
}

/** A thread leaves the port while another one looks. */
function leaving(): Scenario {
  const made = new PortWorld({ threads: 2, limit: 1 })
  return {
    name: 'port: a thread leaves it while another one looks',
    invariants: ['PORT-10'],
    words: made.words,
    build() {
      const [looker, guest] = made.open()
      return {
        threads: {
          looker() {
            const { devices } = looker.snapshot()
            check(devices[0].thread === 0, 'PORT-10: who stays is shown')
          },
          guest() {
            guest.leave()
          },
        },
        check: () => check(looker.snapshot().devices.length === 1, 'PORT-10: one is left'),
      }
    },
  }
}

// --- entries for one thread ----------------------------------------------------------------------

/** Two threads post to a third one. */
function direct(): Scenario {
  const made = new PortWorld({ threads: 3, limit: 1 })
  const { words } = made
  return {
    name: 'port: entries for one thread',
    invariants: ['PORT-6', 'PORT-9'],
    words,
    build() {
      const [first, second, taker] = made.open()
      const head = made.stateAt(2) - PORT_THREAD_STATE + PORT_THREAD_DIRECT_HEAD
      const taken: string[][] = [[], []]
      return {
        threads: {
          first() {
            for (const value of [1, 2])
              check(first.postTo(2, 3, value) === 'posted', 'PORT-9: the thread is there')
            check(first.takeDirect().length === 0, 'PORT-9: nobody else finds it')
          },
          second() {
            check(second.postTo(2, 3, 5) === 'posted', 'PORT-9: the thread is there')
          },
          taker() {
            for (let left = 3; left > 0; ) {
              waitWhile(words, head, 0)
              const entries = taker.takeDirect()
              for (const { from, value } of entries) taken[from].push(String(value))
              left -= entries.length
            }
          },
        },
        check() {
          const text = taken.map((values) => values.join()).join(' ')
          check(text === '1,2 5', `PORT-9: once, and in the order of each: ${text}`)
        },
      }
    },
  }
}

/** A thread posts to one that opens the port, and to one that leaves it. */
function comesOrGoes(): Scenario {
  const made = new PortWorld({ threads: 2, limit: 1 })
  return {
    name: 'port: an entry for a thread that comes and goes',
    invariants: ['PORT-6', 'PORT-9'],
    words: made.words,
    build() {
      const [poster] = made.open(1)
      let isPosted = false
      return {
        threads: {
          poster() {
            isPosted = poster.postTo(1, 3, 4) === 'posted'
          },
          guest() {
            CompletionPort.open(made.handle).leave()
          },
        },
        outcome: () => String(isPosted),
        check() {
          const next = CompletionPort.open(made.handle)
          check(next.takeDirect().length === 0, 'PORT-9: what was for another one is not taken')
          for (const entry of [1, 2])
            check(next.postTo(0, 3, entry) === 'posted', 'PORT-6: who has entries posts them')
          for (const entry of [1, 2])
            check(poster.postTo(1, 3, entry) === 'posted', 'PORT-6: every entry has come back')
        },
      }
    },
  }
}

/** A thread is given up while another one posts to it; the next one with its number begins with nothing. */
function directGivenUp(): Scenario {
  const made = new PortWorld({ threads: 3, limit: 1 })
  return {
    name: 'port: who entries are for is given up',
    invariants: ['PORT-8', 'PORT-9'],
    words: made.words,
    build() {
      const [keeper, poster] = made.open()
      return {
        threads: {
          poster() {
            for (const value of [1, 2]) poster.postTo(2, 3, value)
          },
          keeper() {
            keeper.abandon(2)
          },
        },
        check() {
          const next = CompletionPort.open(made.handle)
          check(next.thread === 2, 'PORT-8: its number is free')
          check(next.takeDirect().length === 0, 'PORT-9: what was for another one is not taken')
          for (const value of [5, 6])
            check(poster.postTo(2, 3, value) === 'posted', 'PORT-6: every entry has come back')
          const taken = next.takeDirect().map(({ value }) => value)
          check(taken.join() === '5,6', 'PORT-9: once, and in order')
        },
      }
    },
  }
}

// --- the queue -----------------------------------------------------------------------------------

/** Somebody looks at the queue, or moves it on for others, while it is used. */
function queueSeen(name: string, isSealed: boolean): Scenario {
  const count = isSealed ? 1 : 2
  const made = new PortWorld({ threads: 2, limit: 1, capacity: 1 })
  const { words } = made
  return {
    name: `port queue: ${name} while it is used`,
    invariants: ['PORT-1', 'PORT-2', 'PORT-7'],
    words,
    build() {
      made.reset()
      const [user, looker] = [0, 1].map((thread) => new PortQueue(words, thread))
      user.append(0)
      const taken: number[] = []
      return {
        threads: {
          user() {
            for (let entry = 1; entry <= count; entry++) user.append(entry)
            for (let left = count; left > 0; left--) taken.push(user.take())
            if (isSealed) user.seal()
          },
          looker() {
            if (isSealed) {
              looker.count()
              looker.isSealed()
            } else looker.settle()
          },
        },
        check() {
          check(looker.count() === 1, 'PORT-2: when every call has ended, what is there is counted')
          taken.push(looker.take())
          check(taken.join() === [0, 1, 2].slice(0, count + 1).join(), `PORT-1: ${taken.join()}`)
          check(looker.isSealed() === isSealed, 'PORT-7: it is sealed, or not')
        },
      }
    },
  }
}

// --- waits ---------------------------------------------------------------------------------------

/** Two waits begin at once. */
function numbers(): Scenario {
  const { made, build } = world(2, 1)
  return {
    name: 'port: two begin to wait',
    invariants: ['PORT-3'],
    words: made.words,
    build() {
      const { all } = build()
      const begin = (thread: number) => all[thread].threads.obtain(0, true)
      return {
        threads: {
          first() {
            begin(1)
          },
          second() {
            begin(2)
          },
        },
        check() {
          const [first, second] = [1, 2].map((thread) => made.words[made.stateAt(thread)])
          check(kindOf(first) === PortThreadState.WAITING, 'PORT-2: the first one waits')
          check(numberOf(first) !== numberOf(second), 'PORT-3: each wait has a number of its own')
        },
      }
    },
  }
}

/** Who comes back to an entry that is there goes on without a wait. */
function goesOn(): Scenario {
  const { made, build } = world(2, 1)
  const { words } = made
  return {
    name: 'port: who runs goes on with the next entry',
    invariants: ['PORT-4'],
    words,
    build() {
      const { all, queue } = build()
      const [poster, runner, other] = all
      queue.append()
      runner.takeOne()
      other.threads.obtain(0, true)
      queue.append()
      const waits = words[PORT_WAITS]
      return {
        threads: {
          poster() {
            queue.append()
            poster.threads.dispatch()
          },
          runner() {
            made.running--
            runner.takeOne()
          },
        },
        check() {
          check(words[PORT_WAITS] === waits, 'PORT-4: who goes on does not begin a wait')
          check(words[made.stateAt(2)] % 8 === PortThreadState.WAITING, 'PORT-4: nobody is woken')
        },
      }
    },
  }
}

/** One runs without a place; who has the only one comes back, and stands back for it. */
function standsBack(): Scenario {
  const made = new PortWorld({ threads: 4, limit: 1 })
  const { words } = made
  return {
    name: 'port: who comes back stands back for who has no place',
    invariants: ['PORT-5', 'PORT-10'],
    words,
    build() {
      made.open(3)
      const queue = new QueueTwin(made)
      const [first, second] = [1, 2].map((thread) => new Taker(made, thread).threads)
      for (const taker of [first, second]) {
        queue.append()
        taker.obtain(0, false)
        if (taker === first) first.pause()
      }
      first.resume()
      queue.append()
      return {
        threads: {
          opener() {
            CompletionPort.open(made.handle)
          },
          second() {
            second.obtain(0, true)
          },
        },
        check() {
          const kinds = [1, 2].map((thread) => kindOf(words[made.stateAt(thread)]))
          check(
            kinds[0] === PortThreadState.RUNNING && kinds[1] === PortThreadState.WAITING,
            `PORT-5: ${kinds.join()}`,
          )
          check(queue.count() === 1, 'PORT-5: the entry waits for a place')
        },
      }
    },
  }
}

/** One comes back from blocking while two places are free and another one looks for threads without any. */
function onePlace(): Scenario {
  const { made, build } = world(1, 2)
  return {
    name: 'port: who comes back from blocking takes one place',
    invariants: ['PORT-4', 'PORT-5'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [poster, taker] = all
      queue.append()
      taker.threads.obtain(0, false)
      taker.threads.pause()
      return {
        threads: {
          poster() {
            poster.threads.dispatch()
          },
          taker() {
            taker.threads.resume()
            taker.threads.leave()
          },
        },
        check: () => checkPlacesFree(made),
      }
    },
  }
}

/** The last entry is taken while a place is given to somebody else for it. */
function endsWhileChosen(): Scenario {
  const { made, build } = world(2, 2)
  return {
    name: 'port: the end while a thread is chosen',
    invariants: ['PORT-4', 'PORT-7'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [poster, runner, other] = all
      queue.append()
      runner.takeOne()
      other.threads.obtain(0, true)
      queue.append()
      queue.seal()
      return {
        threads: {
          poster() {
            poster.threads.dispatch()
          },
          runner() {
            made.running--
            runner.takeAll()
          },
        },
        check() {
          check(!other.takeOne(), 'PORT-7: nobody waits')
          made.checkEnd(2)
        },
      }
    },
  }
}

// --- threads that are given up -------------------------------------------------------------------

/** The latest wait is given up while it is chosen; the other one goes on in its place. */
function givenUpWaiting(): Scenario {
  const { made, build } = world(3, 1)
  return {
    name: 'port: a wait is given up while it is chosen',
    invariants: ['PORT-8'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [keeper, victim, other, poster] = all
      for (const taker of [other, victim]) taker.threads.obtain(0, true)
      return {
        threads: {
          poster() {
            queue.append()
            poster.threads.dispatch()
          },
          keeper() {
            keeper.threads.abandon(1)
          },
        },
        check() {
          check(other.threads.obtain(0, false) >= 0, 'PORT-8: who waits goes on')
          other.threads.leave()
          checkPlacesFree(made)
          check(made.words[made.stateAt(1)] === PortThreadState.ABSENT, 'PORT-8: it is gone')
        },
      }
    },
  }
}

/** Who chose a thread has ended and is given up while that one runs. */
function chooserGivenUp(): Scenario {
  const { made, build } = world(2, 1)
  return {
    name: 'port: who chose a thread is given up while it runs',
    invariants: ['PORT-4', 'PORT-8'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [keeper, chooser, chosen] = all
      chosen.threads.obtain(0, true)
      queue.append()
      chooser.threads.dispatch()
      return {
        threads: {
          keeper() {
            keeper.threads.abandon(1)
          },
          chosen() {
            chosen.takeOne()
          },
        },
        check: () => check(placeIn(made) === 3, 'PORT-8: the place is of who runs'),
      }
    },
  }
}

/** The same while that one goes: who comes next has the place for itself. */
function chooserGivenUpLater(): Scenario {
  const { made, build } = world(2, 1)
  return {
    name: 'port: who chose a thread is given up while it goes',
    invariants: ['PORT-4', 'PORT-8'],
    words: made.words,
    build() {
      const { all, queue } = build()
      const [next, chooser, chosen] = all
      chosen.threads.obtain(0, true)
      queue.append()
      chooser.threads.dispatch()
      chosen.takeOne()
      queue.append()
      return {
        threads: {
          next() {
            next.threads.abandon(1)
            next.threads.obtain(0, true)
          },
          chosen() {
            chosen.threads.leave()
          },
        },
        check() {
          const kind = kindOf(made.words[made.stateAt(0)])
          check(
            kind === PortThreadState.CHOSEN || kind === PortThreadState.RUNNING,
            'PORT-2: there is an entry, and a place',
          )
          check(placeIn(made) !== 0, 'PORT-4: it stands in the place')
        },
      }
    },
  }
}

// --- the port as a whole -------------------------------------------------------------------------

/** Who has an entry blocks and is back. */
function blocks(): Scenario {
  const made = new PortWorld({ threads: 2, limit: 1, capacity: 1 })
  return {
    name: 'port: one posts while another one blocks',
    invariants: ['PORT-1', 'PORT-5'],
    words: made.words,
    build() {
      const [poster, taker] = made.open()
      poster.post(3, 4)
      taker.get(0)
      return {
        threads: {
          poster() {
            check(poster.post(3, 5) === 'posted', 'PORT-6: the entry has come back')
          },
          taker() {
            taker.block()
            taker.block()
            taker.unblock()
            taker.unblock()
            const entry = taker.get()
            check(typeof entry !== 'string' && entry.value === 5, 'PORT-1: it is the next entry')
            taker.leave()
          },
        },
        check: () => checkPlacesFree(made),
      }
    },
  }
}

/** It is closed while one takes many and another one waits. */
function closed(): Scenario {
  const made = new PortWorld({ threads: 3, limit: 2, capacity: 3 })
  return {
    name: 'port: closed while one takes many',
    invariants: ['PORT-1', 'PORT-7'],
    words: made.words,
    build() {
      const [closer, many, one] = made.open()
      for (const value of [1, 2]) closer.post(3, value)
      one.get(0, true)
      const taken: number[] = []
      return {
        threads: {
          closer() {
            closer.close()
            check(closer.post(3, 9) === 'closed', 'PORT-7: nothing is appended behind the seal')
          },
          many() {
            for (;;) {
              const entries = many.getMany(2)
              if (typeof entries === 'string') break
              for (const { value } of entries) taken.push(value)
            }
          },
        },
        outcome: () => taken.join(),
        check() {
          let entry = one.get(0)
          for (; typeof entry !== 'string'; entry = one.get(0)) taken.push(entry.value)
          check(entry === 'closed', 'PORT-7: nobody waits')
          check(taken.toSorted().join() === '1,2', `PORT-7: taken ${taken.join()}`)
          checkPlacesFree(made)
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  opening(),
  opensWhile({
    what: 'looks',
    prepare() {},
    run([looker]) {
      const { devices } = looker.snapshot()
      check(devices.length >= 3 && devices[2].key === 2, 'PORT-10: all are shown, with their keys')
    },
    finish([looker]) {
      check(looker.snapshot().devices.length === 4, 'PORT-10: all are shown')
    },
  }),
  opensWhile({
    what: 'posts',
    prepare() {},
    run([poster]) {
      poster.post(3, 4)
    },
    finish([, taker]) {
      check(typeof taker.get(0) !== 'string', 'PORT-1: the entry is there')
    },
  }),
  opensWhile({
    what: 'closes it',
    prepare([, waiting]) {
      waiting.get(0, true)
    },
    run([closer]) {
      closer.close()
    },
    finish([, waiting]) {
      check(waiting.get(0) === 'closed', 'PORT-7: nobody waits')
    },
  }),
  opensWhile({
    what: 'gives up who chose a thread',
    prepare([, chooser, chosen]) {
      chosen.get(0, true)
      chooser.post(3, 4)
    },
    run([keeper]) {
      keeper.abandon(1)
    },
    finish([, , chosen]) {
      check(typeof chosen.get(0) !== 'string', 'PORT-8: who was chosen goes on')
    },
  }),
  leaving(),
  direct(),
  comesOrGoes(),
  directGivenUp(),
  queueSeen('somebody looks', true),
  queueSeen('it is moved on', false),
  numbers(),
  goesOn(),
  standsBack(),
  onePlace(),
  endsWhileChosen(),
  givenUpWaiting(),
  chooserGivenUp(),
  chooserGivenUpLater(),
  blocks(),
  closed(),
]
