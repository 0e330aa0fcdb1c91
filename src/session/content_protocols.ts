// What: protocols by what connect() says of them: the names of declared ones, and those that it was given in full.
// Flow: connector -> this -> protocol table, handler set.
// Thread: the one that runs content.

import { OverlappedError } from '../errors.ts'
import { LISTENERS_MAX } from '../layout/layout.ts'
import type { ProtocolTable } from '../shared/protocol_table.ts'
import type { GivenProtocol } from './connect_options.ts'
import type { Handler } from './handler.ts'

export interface ContentProtocolsParts {
  readonly table: ProtocolTable
  /** Of the declared protocols, by index. */
  readonly names: readonly string[]
  readonly useHandler: (url: string) => Promise<Handler>
  /** A protocol that this thread has registered. */
  readonly onRegistered: (index: number, given: GivenProtocol, handler: Handler) => void
}

export class ContentProtocols {
  readonly #parts: ContentProtocolsParts
  /** By everything that makes a protocol different; as many as the table has room for stay. */
  readonly #given = new Map<string, number>()

  constructor(parts: ContentProtocolsParts) {
    this.#parts = parts
  }

  byName(name: string): number {
    const { names } = this.#parts
    const index = names.indexOf(name)
    if (index !== -1) return index
    const known = names.map((other) => `'${other}'`).join(', ')
    throw new OverlappedError(
      'ERR_ARGUMENT',
      `connect(): there is no protocol '${name}'; there are ${known}`,
    )
  }

  /** The index of a protocol; one that was given before in this thread has it already. */
  async of(given: GivenProtocol): Promise<number> {
    // For each call anew: one may have to wait for an onStart in which another one is made.
    const handler = await this.#parts.useHandler(given.handler)
    const key = JSON.stringify(given)
    const known = this.#given.get(key)
    if (known !== undefined) return known
    const index = this.#register(given, handler)
    this.#given.set(key, index)
    return index
  }

  #register(given: GivenProtocol, handler: Handler): number {
    const index = this.#parts.table.register(given.record)
    if (index === -1) {
      throw new OverlappedError(
        'ERR_PROTOCOL_TABLE_FULL',
        `connect(): all ${LISTENERS_MAX} protocols of the runtime are used; each different framing, handler or ` +
          'socket option that connect() is given in a thread takes one, as each listener does',
      )
    }
    this.#parts.onRegistered(index, given, handler)
    return index
  }
}
