// What: payloads of which every byte says whose it is and where it belongs.
// Flow: zero_copy.test.ts, handlers/zero_copy.mjs -> this.
// Thread: any.

/** A step that is coprime to 256 and to the sizes of pages and chunks, so that no two places look alike. */
const STEP = 41

/** @param {Buffer} bytes @param {number} seed @param {number} number @returns {Buffer} */
export function fillPattern(bytes, seed, number) {
  for (let i = 0; i < bytes.length; i++) bytes[i] = seed * 131 + number * 31 + i * STEP + (i >> 8)
  return bytes
}
