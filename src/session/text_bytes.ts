// What: text as UTF-8, in memory that is used again: no allocation for a text of ordinary length.
// Flow: session.send(text) -> this -> sender.
// Thread: one instance per thread.

const SCRATCH_BYTES = 65_536
/** UTF-8 has at most three bytes for each UTF-16 unit. */
const BYTES_PER_UNIT = 3

class TextBytes {
  /** The first `length` bytes are the last text's, until the next one. */
  bytes: Uint8Array
  length = 0
  readonly #scratch = Buffer.alloc(SCRATCH_BYTES)

  constructor() {
    this.bytes = this.#scratch
  }

  encode(text: string): void {
    if (text.length * BYTES_PER_UNIT > SCRATCH_BYTES) {
      this.bytes = Buffer.from(text, 'utf8')
      this.length = this.bytes.length
      return
    }
    this.bytes = this.#scratch
    this.length = this.#scratch.write(text, 0, 'utf8')
  }
}

export const textBytes = new TextBytes()
