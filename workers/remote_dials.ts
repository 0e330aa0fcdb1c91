// What: the connections that a worker makes for update threads, and what it tells them of those that fail.
// Flow: messages of update threads, through main -> this -> connecting; JOIN goes by the job ring.
// Thread: a worker, in modes update and send.

import { OverlappedError } from '../src/errors.ts'
import type { FromWorker, PassedMessage } from '../src/server/boot.ts'
import type { Dialling } from '../src/session/connecting.ts'
import type { Handler } from '../src/session/handler.ts'
import type { RemoteOrder } from '../src/update/remote_dialler.ts'
import type { AssembledWorker } from './assemble.ts'

/** Tells the sender that somebody hears of what was sent. */
const hearsOfSends: Handler = { onSend() {} }

export class RemoteDials {
  readonly #worker: AssembledWorker
  readonly #tell: (message: FromWorker) => void
  /** By update thread and the number that it gave. */
  readonly #diallings = new Map<string, Dialling>()

  constructor(worker: AssembledWorker, tell: (message: FromWorker) => void) {
    this.#worker = worker
    this.#tell = tell
  }

  heard(message: PassedMessage): void {
    if (message.type === 'dial') {
      this.#dial(message.order)
    } else if (message.type === 'giveUp') {
      const { code, message: text } = message.error
      const dialling = this.#diallings.get(`${message.content} ${message.number}`)
      dialling?.giveUp(new OverlappedError(code, text))
    }
  }

  #dial(order: RemoteOrder): void {
    const { number, content, address, port, protocol, timeoutMs } = order
    const key = `${content} ${number}`
    const failed = (error: unknown) => {
      const { code, message } = error as OverlappedError
      this.#tell({ type: 'dialFailed', thread: content, number, error: { code, message } })
    }
    try {
      this.#addProtocol(order)
      const { connecting } = this.#worker.lifecycle
      const dialling = connecting.dial(
        { address, port, protocol, timeoutMs, data: undefined, onLeft: null },
        content,
        number,
      )
      this.#diallings.set(key, dialling)
      dialling.session.then(undefined, failed).finally(() => this.#diallings.delete(key))
    } catch (error) {
      failed(error)
    }
  }

  /** A protocol that connect() was given in an update thread, and this worker meets for the first time. */
  #addProtocol({ protocol: index, wantsSent }: RemoteOrder): void {
    const { core, protocols, forward } = this.#worker
    if (core.protocols[index] !== undefined) return
    core.addProtocol({
      ...protocols.recordOf(index),
      index,
      name: '',
      encoder: protocols.encoderOf(index),
      handler: forward(wantsSent ? hearsOfSends : {}),
    })
  }
}
