// What: the packet cursor: one object per thread that stands on the message being handled.
// Flow: frame_reader sets it -> handler.onRecv reads it -> session.send(packet).
// Thread: the thread that runs content.

import { OverlappedError } from '../errors.ts'
import type { Encoder } from '../framing/encode.ts'
import { NO_BLOCK, receiveBufferBlock } from '../outbound/references.ts'
import type { Arena } from '../shared/arena.ts'
import type { Endian, Packet, SendBuffer } from './handler.ts'
import type { ReceiveBuffers } from './receive_buffers.ts'

export class PacketCursor implements Packet {
  /** Payload, in arena bytes; -1 when no handler runs. */
  start = -1
  end = -1
  /** The frame around it. */
  frameStart = -1
  frameEnd = -1
  /** Receive buffer that holds the whole frame; -1 when it was copied together. */
  buffer = -1
  /** End of the bytes that were received with it, and whether it is the first of them. */
  limit = -1
  isFirst = true
  /** Framing that the frame was received by. */
  encoder: Encoder | null = null
  /** The buffer as a block to send from, while the frame can go out as it came; NO_BLOCK: it must be copied. */
  echoBlock = NO_BLOCK

  /** What start and end are offsets in. */
  readonly memory: Uint8Array
  readonly #arena: Pick<Arena, 'bytes' | 'buffer'>
  readonly #buffers: Pick<ReceiveBuffers, 'view'> | null
  readonly #view: DataView
  readonly #retain: (packet: PacketCursor) => SendBuffer

  /** Without `buffers` the bytes of a packet are copied when they are asked for. */
  constructor(
    arena: Pick<Arena, 'bytes' | 'buffer'>,
    buffers: Pick<ReceiveBuffers, 'view'> | null,
    retain: (packet: PacketCursor) => SendBuffer,
  ) {
    this.memory = arena.bytes
    this.#arena = arena
    this.#buffers = buffers
    this.#view = new DataView(arena.bytes.buffer, arena.bytes.byteOffset, arena.bytes.byteLength)
    this.#retain = retain
  }

  /** The next messages lie in this receive buffer, up to `limit`; -1: in memory that is used again at once. */
  enter(buffer: number, encoder: Encoder, limit: number): void {
    this.buffer = buffer
    this.limit = limit
    this.isFirst = true
    this.encoder = encoder
    this.echoBlock = buffer === -1 || !encoder.echoes ? NO_BLOCK : receiveBufferBlock(buffer)
  }

  /** @throws {OverlappedError} ERR_PACKET_EXPIRED */
  check(): void {
    if (this.start >= 0) return
    throw new OverlappedError(
      'ERR_PACKET_EXPIRED',
      'a packet was used after its handler returned or awaited; packet.copy() or packet.retain() keeps it',
    )
  }

  get length(): number {
    this.check()
    return this.end - this.start
  }

  get bytes(): Uint8Array {
    this.check()
    // A frame that was copied together lies in memory that is used again at once.
    if (this.buffer === -1 || this.#buffers === null) return this.memory.slice(this.start, this.end)
    // Whoever has the view can change what lies there.
    this.echoBlock = NO_BLOCK
    return this.#buffers.view(this.buffer, this.start, this.end)
  }

  copy(): Uint8Array {
    this.check()
    return this.memory.slice(this.start, this.end)
  }

  retain(): SendBuffer {
    this.check()
    return this.#retain(this)
  }

  text(start = 0, end = this.length): string {
    this.check()
    if (!(start >= 0 && start <= end && end <= this.length)) {
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `text(${start}, ${end}) is outside a packet of ${this.length} bytes`,
      )
    }
    return this.#arena.buffer.toString('utf8', this.start + start, this.start + end)
  }

  u8(offset: number): number {
    return this.memory[this.#at(offset, 1)]
  }

  i8(offset: number): number {
    return this.#view.getInt8(this.#at(offset, 1))
  }

  u16(offset: number, endian: Endian = 'little'): number {
    return this.#view.getUint16(this.#at(offset, 2), endian === 'little')
  }

  i16(offset: number, endian: Endian = 'little'): number {
    return this.#view.getInt16(this.#at(offset, 2), endian === 'little')
  }

  u32(offset: number, endian: Endian = 'little'): number {
    return this.#view.getUint32(this.#at(offset, 4), endian === 'little')
  }

  i32(offset: number, endian: Endian = 'little'): number {
    return this.#view.getInt32(this.#at(offset, 4), endian === 'little')
  }

  f32(offset: number, endian: Endian = 'little'): number {
    return this.#view.getFloat32(this.#at(offset, 4), endian === 'little')
  }

  f64(offset: number, endian: Endian = 'little'): number {
    return this.#view.getFloat64(this.#at(offset, 8), endian === 'little')
  }

  #at(offset: number, size: number): number {
    const at = this.start + offset
    if (this.start < 0 || (offset | 0) !== offset || offset < 0 || at + size > this.end) {
      this.check()
      throw new OverlappedError(
        'ERR_ARGUMENT',
        `${size} bytes at ${offset} are outside a packet of ${this.length} bytes`,
      )
    }
    return at
  }
}
