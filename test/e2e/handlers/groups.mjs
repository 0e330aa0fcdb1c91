// What: joins and leaves groups as main orders, streams numbered broadcasts to them, says what onLeave sees.
// Flow: groups.test.ts -> this -> the clients of groups.test.ts.
// Thread: a worker.

import { defineHandler } from 'overlapped'

let runtime = null
const mine = new Map()

function attempt(use) {
  try {
    return use() ?? 'done'
  } catch (error) {
    return `${error.code} ${error.message}`
  }
}

/** Lets receivers and other senders come in between. */
const pauseABit = () => new Promise((resolve) => setImmediate(resolve))

/** Broadcasts that each stream has begun, and those that it has ended; streams by their number. */
const begun = () => runtime.data.begun
const ended = () => runtime.data.ended

const all = (counts) => Array.from(counts, (_, at) => Atomics.load(counts, at))

/** One membership, with what the streams had begun and ended around its ends. */
async function stay(session, group, pauses) {
  const endedBefore = all(ended())
  const joined = session.join(group)
  const begunAfter = all(begun())
  for (let at = 0; at < pauses; at++) await pauseABit()
  const endedThen = all(ended())
  const left = session.leave(group)
  const begunAtLast = all(begun())
  return { joined, left, endedBefore, begunAfter, endedThen, begunAtLast }
}

const actions = {
  join: ({ id, group, options }) => mine.get(id).join(group, options),
  leave: ({ id, group }) => mine.get(id).leave(group),
  move: ({ id, to }) => {
    const session = mine.get(id)
    mine.delete(id)
    return session.moveTo(to)
  },
  groups: ({ id }) => mine.get(id).groups,
  info: ({ group }) => runtime.group(group),
  tag: ({ id, value }) => {
    mine.get(id).tag = value
  },
  broadcast: ({ data, options, where }) => {
    const predicate = where === undefined ? {} : { where: ({ tag }) => tag === where }
    return runtime.broadcast(data, { ...options, ...predicate })
  },
  joinAll: ({ group, options }) => [...mine.values()].map((each) => each.join(group, options)),
  leaveAll: ({ group }) => [...mine.values()].map((each) => each.leave(group)),
  /** `<stream> <number>` to the group, until all stays of all workers are over. */
  async stream({ stream, group }) {
    let number = 0
    while (Atomics.load(runtime.data.staying, 0) > 0) {
      Atomics.add(begun(), stream, 1)
      const { full, dropped } = runtime.broadcast(`${stream} ${number}`, { to: { group } })
      if (full + dropped > 0) throw new Error(`broadcast: ${full} full, ${dropped} dropped`)
      Atomics.add(ended(), stream, 1)
      number++
      await pauseABit()
    }
    return number
  },
  /** Sessions of this worker come and go, each in its own time. */
  async stays({ group, rounds }) {
    const sessions = [...mine.values()]
    const told = await Promise.all(
      sessions.map(async (session, at) => {
        const stays = []
        for (let round = 0; round < rounds; round++) {
          stays.push(await stay(session, group, 1 + ((at + round) % 5)))
          for (let pause = 0; pause < (at * 7 + round) % 4; pause++) await pauseABit()
        }
        return { id: session.id, stays }
      }),
    )
    Atomics.sub(runtime.data.staying, 0, 1)
    return told
  },
}

export default defineHandler({
  onStart(own) {
    runtime = own
  },
  onJoin(session) {
    mine.set(session.id, session)
    const { crowd } = runtime.data
    if (crowd !== undefined) session.join(crowd)
    runtime.post('main', { type: 'join', id: session.id, listener: session.listener })
  },
  onMove(session, from) {
    mine.set(session.id, session)
    runtime.post('main', { type: 'moved', id: session.id, left: from, groups: session.groups })
  },
  onRecv(session, packet) {
    session.send(packet)
  },
  onLeave(session) {
    mine.delete(session.id)
    const { groups } = session
    const [group] = groups
    runtime.post('main', {
      type: 'leave',
      id: session.id,
      groups,
      info: group && runtime.group(group),
      counts: group && runtime.broadcast('left', { to: { group } }),
      joined: session.join('late'),
      left: group && session.leave(group),
    })
  },
  async onMessage(order) {
    const result = attempt(() => actions[order.do](order))
    runtime.post('main', { type: order.do, result: await result })
  },
  onError(error) {
    runtime.post('main', { type: 'error', message: String(error) })
  },
})
