// What: payloads of which every byte says whose it is and where it belongs.
// Flow: zero_copy.test.ts, broadcasts_of_a_turn.test.ts and their handlers -> this.
// Thread: any.

/** A step that is coprime to 256 and to the sizes of pages and chunks, so that no two places look alike. */
const STEP = 41

/** @param {Buffer} bytes @param {number} seed @param {number} number @returns {Buffer} */
export function fillPattern(bytes, seed, number) {
  for (let i = 0; i < bytes.length; i++) bytes[i] = seed * 131 + number * 31 + i * STEP + (i >> 8)
  return bytes
}

/** A payload that begins with its number. @param {number} number @param {number} size From 4. @returns {Buffer} */
export function numbered(number, size) {
  const bytes = fillPattern(Buffer.alloc(size), 1, number)
  bytes.writeUInt32BE(number)
  return bytes
}
