// What: the bytes that a framing makes of a payload.
// Flow: unit tests -> this -> the encoder under test -> tests.
// Thread: the test's.

import type { Encoder } from '../../src/framing/encode.ts'

export function framed(encoder: Encoder, payload: Uint8Array): Buffer {
  const { headerBytes, trailerBytes } = encoder
  const frame = Buffer.alloc(headerBytes + payload.length + trailerBytes)
  encoder.writeHeader(frame, 0, payload.length)
  frame.set(payload, headerBytes)
  encoder.writeTrailer(frame, headerBytes + payload.length)
  return frame
}
