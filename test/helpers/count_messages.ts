// What: counts the messages of a server's ports; every port of a thread ends in main.
// Flow: MessagePort of this thread, before a server starts -> what main sends and what it hears -> tests.
// Thread: main of a server, which is the test's.

import { MessagePort } from 'node:worker_threads'

export interface MessageCounts {
  sent: number
  heard: number
  /** Of those that were heard: that main's bell rings. */
  bells: number
}

export const messages: MessageCounts = { sent: 0, heard: 0, bells: 0 }

type Listener = (message: unknown) => void
// The methods that ports are used with, on whatever prototype they are.
const prototype = MessagePort.prototype as unknown as {
  postMessage(...args: unknown[]): void
  on(event: string, listener: Listener): unknown
}
const { postMessage, on } = prototype

prototype.postMessage = function (...args) {
  messages.sent++
  return postMessage.apply(this, args)
}
prototype.on = function (event, listener) {
  if (event !== 'message') return on.call(this, event, listener)
  return on.call(this, event, (message) => {
    messages.heard++
    if ((message as { type?: unknown } | null)?.type === 'bell') messages.bells++
    listener(message)
  })
}
