// What: messages that say who made them and in which order, and a client's own way to frame and cut them.
// Flow: clients and handlers of the simulation write them -> the other side checks every byte.
// Thread: the test's.

import type { Framing } from '../../src/framing/framing.ts'

/** What a message says: its kind, who made it, its place among those of its maker for this session, and among all. */
export interface Message {
  readonly kind: number
  readonly producer: number
  readonly sequence: number
  readonly stamp: number
}

/** A client's, which handlers may send back as it is. */
export const FROM_CLIENT = 0x43
/** Content's, for its own session. */
export const OWN = 0x4f
/** Another thread's, for one session. */
export const DIRECT = 0x44
/** A thread's, for many. */
export const SHARED = 0x42

const DIGITS = 5
/** The shortest message. */
export const MESSAGE_BYTES_MIN = 2 + 2 * DIGITS
const PRODUCER_FIRST = 0x30

/** Never '\n'; sometimes '\r', with which a delimiter begins. */
function filler(message: Message, index: number): number {
  const mixed = index * 7 + message.sequence * 13 + message.producer * 5 + message.kind
  return mixed % 61 === 0 ? 0x0d : 0x40 + (mixed & 0x3f)
}

function writeNumber(to: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < DIGITS; i++) to[at + i] = 0x40 + ((value >>> (6 * i)) & 0x3f)
}

function readNumber(from: Uint8Array, at: number): number {
  let value = 0
  for (let i = 0; i < DIGITS; i++) value |= (from[at + i] & 0x3f) << (6 * i)
  return value
}

export function writeMessage(message: Message, length: number): Uint8Array {
  const to = new Uint8Array(length)
  to[0] = message.kind
  to[1] = PRODUCER_FIRST + (message.producer & 0x3f)
  writeNumber(to, 2, message.sequence)
  writeNumber(to, 2 + DIGITS, message.stamp)
  for (let i = MESSAGE_BYTES_MIN; i < length; i++) to[i] = filler(message, i)
  return to
}

/** @throws when a byte is not what its maker wrote */
export function readMessage(from: Uint8Array, start: number, end: number): Message {
  const message = {
    kind: from[start],
    producer: from[start + 1] - PRODUCER_FIRST,
    sequence: readNumber(from, start + 2),
    stamp: readNumber(from, start + 2 + DIGITS),
  }
  const known = [FROM_CLIENT, OWN, DIRECT, SHARED].includes(message.kind)
  if (end - start < MESSAGE_BYTES_MIN || !known)
    throw new Error(`BYTES: ${end - start} bytes that nobody sent: ${show(from, start, end)}`)
  for (let i = MESSAGE_BYTES_MIN; i < end - start; i++) {
    if (from[start + i] !== filler(message, i)) {
      throw new Error(
        `BYTES: byte ${i} of ${end - start} of message ${message.sequence} was changed: ${show(from, start, end)}`,
      )
    }
  }
  return message
}

function show(from: Uint8Array, start: number, end: number): string {
  return Buffer.from(from.slice(start, Math.min(end, start + 60))).toString('latin1')
}

/** Byte of a client's raw stream. */
export function rawByte(connection: number, index: number): number {
  return (index * 31 + connection * 17 + (index >>> 8)) & 0xff
}

/** Header and trailer around a payload, written down once more: the package's encoder is what is tested. */
export function frame(framing: Framing, payload: Uint8Array): Uint8Array {
  if (framing.kind === 'raw') return payload
  if (framing.kind === 'delimiter') return Buffer.concat([payload, Uint8Array.from(framing.bytes)])
  const header = Buffer.alloc(framing.offset + framing.bytes)
  const length = payload.length + (framing.includesHeader ? header.length : 0)
  if (framing.endian === 'little') header.writeUIntLE(length, framing.offset, framing.bytes)
  else header.writeUIntBE(length, framing.offset, framing.bytes)
  return Buffer.concat([header, payload])
}

/** The first frame of [start, end): where its payload is and where the next one begins. Null: it is not whole. */
export function cut(
  framing: Framing,
  bytes: Buffer,
  start: number,
  end: number,
): { readonly from: number; readonly to: number; readonly next: number } | null {
  if (framing.kind === 'delimiter') {
    const at = bytes.indexOf(Uint8Array.from(framing.bytes), start)
    if (at === -1 || at + framing.bytes.length > end) return null
    return { from: start, to: at, next: at + framing.bytes.length }
  }
  if (framing.kind === 'raw') return null
  const header = framing.offset + framing.bytes
  if (end - start < header) return null
  const field = start + framing.offset
  const said =
    framing.endian === 'little'
      ? bytes.readUIntLE(field, framing.bytes)
      : bytes.readUIntBE(field, framing.bytes)
  const to = start + header + said - (framing.includesHeader ? header : 0)
  return to > end ? null : { from: start + header, to, next: to }
}
