// What: connects as main says and tells main of every event; sessions do what main says.
// Flow: outbound.test.ts -> this -> outbound.test.ts.
// Thread: one that runs content.

import { defineHandler } from 'overlapped'

let runtime = null
const sessions = new Map()
const controllers = new Map()

function tell(type, fields) {
  runtime.post('main', { type, ...fields })
}

const actions = {
  /** `key` names the call in reports and for abort. */
  async connect({ key, abortable = false, abortAtOnce = false, ...options }) {
    const controller = new AbortController()
    controllers.set(key, controller)
    if (abortAtOnce) controller.abort('at once')
    if (abortable || abortAtOnce) options.signal = controller.signal
    try {
      const session = await runtime.connect(options)
      tell('connected', { key, id: session.id, remote: session.remoteAddress })
    } catch ({ code, message, cause, name }) {
      const why = cause instanceof Error ? (cause.code ?? cause.name) : cause
      tell('failed', { key, code, message, why, name, isClone: false })
    }
  },
  abort: ({ key }) => controllers.get(key).abort('enough'),
  send: ({ id, data }) => tell('sent', { result: sessions.get(id).send(data) }),
  sendById: ({ id, data }) => tell('sent', { result: runtime.send(id, data) }),
  close: ({ id }) => sessions.get(id).close(),
  terminate: ({ id }) => sessions.get(id).terminate(),
}

export default defineHandler({
  onStart(own) {
    runtime = own
    const { connectInStart } = own.data ?? {}
    // Not awaited: it is what content does that connects when it starts.
    if (connectInStart && own.thread.endsWith('1'))
      actions.connect({ key: 'start', ...connectInStart })
    tell('start', { module: 'outbound' })
  },
  onStop() {
    tell('stop', { module: 'outbound' })
  },
  onJoin(session) {
    sessions.set(session.id, session)
    const { id, listener, data } = session
    tell('join', { id, listener, data, module: 'outbound' })
  },
  onRecv(session, packet) {
    tell('recv', { id: session.id, text: packet.text() })
    if (packet.length >= 4 && packet.text(0, 4) === 'echo') session.send(packet)
  },
  onLeave(session, reason) {
    sessions.delete(session.id)
    tell('leave', { id: session.id, reason })
  },
  onConnectFailed({ code }, { host, port, attempt, retryInMs, data }) {
    tell('attempt', { code, host, port, attempt, retryInMs, data })
  },
  onMessage({ do: action, ...rest }) {
    return actions[action]?.(rest)
  },
  onError(error, session) {
    tell('error', { id: session?.id, message: String(error) })
  },
})
