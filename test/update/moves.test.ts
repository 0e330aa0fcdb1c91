// What: tests of a session that moves between two update threads: what it takes along, what each thread hears, refusals.
// Flow: records of a job ring -> content of one thread -> what main passes on -> content of the other -> this.
// Thread: the test's, as each of the threads.

import { describe, expect, it } from 'vitest'
import { lengthPrefix } from '../../src/framing/framing.ts'
import {
  CloseReason,
  JobKind,
  SESSION_CONTENT,
  SESSION_DRAIN_WANTED,
  SESSION_GENERATION,
  SESSION_IO_COUNT,
  SESSION_MOVE_TO,
  SESSION_REQUEST,
  SESSION_REQUEST_CLOSE,
  SESSION_REQUEST_MOVE,
  SESSION_REQUEST_MOVED,
  SESSION_STATE,
  SessionState,
} from '../../src/layout/layout.ts'
import type { FromWorker } from '../../src/server/boot.ts'
import type { Handler, Session } from '../../src/session/handler.ts'
import { open } from '../../src/shared/io_count.ts'
import type { MovedSession } from '../../src/update/content.ts'
import { JobProducer } from '../../src/update/job_ring.ts'
import { type AssembledUpdate, assembleUpdate } from '../../workers/assemble_update.ts'
import { unitMemory } from '../helpers/unit_memory.ts'

const OWNER = 1
const SLOT = 2
const GENERATION = 7
const HANDLER = 'file:///handler.js'
const noMemory = { releaseBuffer() {}, freeBlock() {} }

interface Thread {
  readonly update: AssembledUpdate
  readonly ring: JobProducer
  readonly heard: string[]
  /** The session as this thread has it. */
  session: Session | undefined
}

/** Two update threads and the rings of one worker to them; a session is open whose content the first one is to have. */
function world(more: Partial<Handler> = {}) {
  const memory = unitMemory({ mode: 'update', workers: 1, update: { threads: 2 } })
  const { words } = memory
  const arena = memory.arena(OWNER)
  const { updateFirst } = arena.plan
  const moves: { readonly thread: number; readonly session: MovedSession }[] = []
  let refusals = 0
  const tell = (message: FromWorker) => {
    if (message.type !== 'move') return
    if (refusals-- > 0) throw new Error('it cannot be cloned')
    moves.push({ thread: message.thread, session: structuredClone(message.session) })
  }
  const threads = [0, 1].map((index): Thread => {
    const heard: string[] = []
    const handler: Handler = {
      onJoin: (session) => {
        thread.session = session
        heard.push('join')
      },
      onMove: (session, from) => {
        thread.session = session
        heard.push(`from ${from}, data ${JSON.stringify(session.data)}`)
      },
      onRecv: (_, packet) => void heard.push(packet.text()),
      onDrain: () => void heard.push('drain'),
      onSend: (_, bytes) => void heard.push(`sent ${bytes}`),
      onError: (error) => void heard.push(String(error)),
      onLeave: (_, reason) => void heard.push(reason),
      ...more,
    }
    const update = assembleUpdate({
      boot: {
        thread: updateFirst + index,
        memories: memory.memories,
        protocols: [{ name: 'main', framing: lengthPrefix(), handler: HANDLER }],
        options: { data: null, maxBackpressure: 1000 },
      },
      binding: { ...memory.binding, sessionAddress: () => ({ host: '', port: 0 }) },
      handlers: new Map([[HANDLER, handler]]),
      tell,
      connect: () => Promise.reject(new Error('nobody connects')),
      makeJobs: null,
    })
    const ring = new JobProducer(arena, updateFirst + index, noMemory)
    const thread: Thread = { update, ring, heard, session: undefined }
    return thread
  })
  const at = arena.sessionAt(SLOT)
  words[at + SESSION_GENERATION] = GENERATION
  words[at + SESSION_STATE] = SessionState.OPEN
  words[at + SESSION_CONTENT] = updateFirst
  open(words, at + SESSION_IO_COUNT)
  const say = ({ ring }: Thread, kind: JobKind, first = 0, second = 0) => {
    ring.put(kind, SLOT, first, second)
    ring.publish()
  }
  const receive = ({ ring }: Thread, text: string) => {
    const bytes = Buffer.from(text)
    arena.bytes.set(bytes, arena.plan.heapByteAt)
    ring.putPacked(JobKind.RECV, SLOT, arena.plan.heapByteAt, bytes.length)
    ring.publish()
  }
  const turn = ({ update }: Thread) => {
    update.take()
    update.turn()
  }
  const [old, next] = threads
  say(old, JobKind.JOIN, GENERATION, 0)
  turn(old)
  return {
    words,
    at,
    updateFirst,
    old,
    next,
    moves,
    say,
    receive,
    turn,
    /** The owner has seen the request; MOVE comes behind what is in the ring. */
    move() {
      words[at + SESSION_REQUEST] = 0
      say(old, JobKind.MOVE)
      turn(old)
      const [{ session }] = moves.splice(0)
      next.update.content.moveIn(session)
      turn(next)
    },
    refuseOnce() {
      refusals = 1
    },
  }
}

describe('a session that moves', () => {
  it('takes its data along; each thread hears what is for it, in order [MOVE-1]', () => {
    const test = world()
    const { old, next, words, at, updateFirst } = test
    const session = old.session as Session
    session.data = { name: 'x' }
    expect(session.moveTo('update2')).toBe(true)
    expect(words[at + SESSION_REQUEST]).toBe(SESSION_REQUEST_MOVE)
    expect(words[at + SESSION_MOVE_TO]).toBe(updateFirst + 1)
    test.receive(old, 'before')
    test.move()
    expect(old.heard).toEqual(['join', 'before'])
    expect(words[at + SESSION_CONTENT]).toBe(updateFirst + 1)
    expect(words[at + SESSION_REQUEST]).toBe(SESSION_REQUEST_MOVED)
    test.receive(next, 'behind')
    test.say(next, JobKind.LEAVE, CloseReason.PEER_CLOSED)
    test.turn(next)
    expect(next.heard).toEqual(['from update1, data {"name":"x"}', 'behind', 'peerClosed'])
    expect([...old.update.runtime.sessions()]).toEqual([])
  })

  it('takes messages along that it has not handled, paused or resumed', () => {
    for (const resumes of [false, true]) {
      const test = world()
      const { old, next } = test
      const session = old.session as Session
      session.pause()
      session.moveTo('update2')
      test.receive(old, 'one')
      test.receive(old, 'two')
      test.turn(old)
      if (resumes) session.resume()
      test.say(old, JobKind.MOVE)
      old.update.take()
      next.update.content.moveIn(test.moves[0].session)
      test.receive(next, 'three')
      test.turn(next)
      expect(old.heard).toEqual(['join'])
      const come = ['from update1, data undefined']
      if (!resumes) expect(next.heard).toEqual(come)
      next.session?.resume()
      test.turn(next)
      expect(next.heard).toEqual([...come, 'one', 'two', 'three'])
    }
  })

  it('is nobody in the thread that it has left', () => {
    const test = world()
    const session = test.old.session as Session
    session.moveTo('update2')
    test.move()
    expect(session.isOpen).toBe(false)
    expect(session.send('x')).toBe('closed')
    expect(session.moveTo('update2')).toBe(false)
    session.close()
    expect(test.words[test.at + SESSION_REQUEST] & SESSION_REQUEST_CLOSE).toBe(0)
  })

  it('may be told of room in the thread that it has left: that is asked for again; of sends it is not', () => {
    const test = world()
    const { old, next, words, at } = test
    old.session?.moveTo('update2')
    test.move()
    test.say(old, JobKind.DRAIN, GENERATION)
    test.say(old, JobKind.SENT, GENERATION, 5)
    test.turn(old)
    expect(words[at + SESSION_DRAIN_WANTED]).toBe(1)
    test.say(next, JobKind.DRAIN, GENERATION)
    test.say(next, JobKind.SENT, GENERATION, 6)
    test.turn(next)
    expect(old.heard).toEqual(['join'])
    expect(next.heard.slice(1)).toEqual(['drain', 'sent 6'])
  })

  it('may go on at once: its owner knows by then that it has come [MOVE-1]', () => {
    let before = 0
    const test = world({
      onMove: (session) => {
        before = test.words[test.at + SESSION_REQUEST]
        expect(session.moveTo('update1')).toBe(true)
      },
    })
    test.old.session?.moveTo('update2')
    test.move()
    expect(before).toBe(SESSION_REQUEST_MOVED)
    expect(test.words[test.at + SESSION_REQUEST]).toBe(SESSION_REQUEST_MOVED | SESSION_REQUEST_MOVE)
    expect(test.words[test.at + SESSION_MOVE_TO]).toBe(test.updateFirst)
  })
})

describe('moveTo() refuses', () => {
  it('what is no other update thread', () => {
    const { old } = world()
    const session = old.session as Session
    expect(session.moveTo('update1')).toBe(false)
    for (const name of ['update3', 'worker1', 'main', ''])
      expect(() => session.moveTo(name)).toThrow(
        `moveTo('${name}'): a session moves to an update thread; there are 'update1' to 'update2'`,
      )
  })

  it('a session that moves already, or is over', () => {
    const { old } = world()
    const session = old.session as Session
    expect(session.moveTo('update2')).toBe(true)
    expect(session.moveTo('update2')).toBe(false)
    const ended = world()
    ended.words[ended.at + SESSION_STATE] = SessionState.CLOSING
    expect(ended.old.session?.moveTo('update2')).toBe(false)
    expect(ended.words[ended.at + SESSION_REQUEST]).toBe(0)
  })

  it('data that cannot be cloned; data that became so later is lost, and the session is closed', () => {
    const test = world()
    const session = test.old.session as Session
    session.data = () => {}
    expect(() => session.moveTo('update2')).toThrow('could not be cloned')
    session.data = 1
    session.moveTo('update2')
    test.refuseOnce()
    test.move()
    expect(test.old.heard).toEqual(['join', 'Error: it cannot be cloned'])
    expect(test.next.heard).toEqual(['from update1, data undefined'])
    expect(test.words[test.at + SESSION_REQUEST] & SESSION_REQUEST_CLOSE).not.toBe(0)
    expect(test.next.session?.isOpen).toBe(false)
  })
})
