// What: one person's side of the chat: asks for a nickname, then passes lines on.
// Flow: lines of a session -> this -> server.mjs, which answers with the nickname or a refusal.
// Thread: each worker; the map holds the sessions of this worker alone.

import { defineHandler } from 'overlapped'

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u
const LINE_CHARACTERS_MAX = 500

/** By id: answers from main name sessions by their id. */
const sessions = new Map()

/** Text of a line: a terminal may end it with CR LF, and nobody may send control characters to others. */
function lineOf(packet) {
  return packet
    .text()
    .replaceAll(/\p{Cc}/gu, '')
    .trim()
}

function askName(session, name) {
  if (!NAME.test(name)) {
    session.send('* A nickname has 1 to 20 letters, digits, - or _. Your nickname?')
    return
  }
  // Only main knows all nicknames. What the peer sends until it has answered is held.
  session.pause()
  session.runtime.post('main', { type: 'join', id: session.id, name })
}

export default defineHandler({
  onJoin(session) {
    session.data = { name: '' }
    sessions.set(session.id, session)
    session.send('* Your nickname?')
  },

  onRecv(session, packet) {
    const { id, runtime } = session
    const line = lineOf(packet)
    if (line === '/quit') {
      session.send('* Bye.')
      session.close()
    } else if (session.data.name === '') {
      askName(session, line)
    } else if (line === '/who') {
      runtime.post('main', { type: 'who', id })
    } else if (line.length > LINE_CHARACTERS_MAX) {
      session.send(`* A line has at most ${LINE_CHARACTERS_MAX} characters; nobody saw yours.`)
    } else if (line !== '') {
      runtime.post('main', { type: 'say', id, text: line })
    }
  },

  onMessage({ id, name }) {
    const session = sessions.get(id)
    if (session === undefined) return
    session.data.name = name
    session.send(
      name === ''
        ? '* Somebody has that nickname. Your nickname?'
        : `* Welcome, ${name}. /who lists who is here, /quit leaves.`,
    )
    session.resume()
  },

  onLeave(session, reason) {
    sessions.delete(session.id)
    session.runtime.post('main', { type: 'leave', id: session.id, reason })
  },
})
