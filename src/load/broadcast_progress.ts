// What: how far a broadcast has come: which messages all clients have got.
// Flow: load_handler's arrivals, other workers' reports -> this -> how many messages client 0 may send.
// Thread: each worker has its own; worker1, which sends, hears of all.

export class BroadcastProgress {
  /** How many clients have got each message from `completed` on; a ring. */
  readonly #gotCounts: Uint32Array
  /** In worker1: messages that all clients of each other worker have got. */
  readonly #completedOf: number[]
  /** Messages that all clients of this worker have got. */
  completed = 0

  /** At most `slots` messages are on their way at once. */
  constructor(slots: number, workers: number) {
    this.#gotCounts = new Uint32Array(slots)
    this.#completedOf = new Array(workers).fill(0)
  }

  /** One more client has got the messages from `before` to `after`. */
  add(before: number, after: number): void {
    for (let sequence = before; sequence < after; sequence++) {
      this.#gotCounts[sequence % this.#gotCounts.length]++
    }
  }

  /** A client that had got the messages up to `after` is gone. */
  remove(after: number): void {
    for (let sequence = this.completed; sequence < after; sequence++) {
      this.#gotCounts[sequence % this.#gotCounts.length]--
    }
  }

  /** Whether `live` clients, which are all, have got more messages than before. */
  advance(live: number): boolean {
    const before = this.completed
    while (live > 0) {
      const slot = this.completed % this.#gotCounts.length
      if (this.#gotCounts[slot] < live) break
      this.#gotCounts[slot] = 0
      this.completed++
    }
    return this.completed > before
  }

  hear(worker: number, completed: number): void {
    this.#completedOf[worker] = completed
  }

  /** Messages that all clients of all workers have got. */
  get completedByAll(): number {
    let least = this.completed
    for (let worker = 1; worker < this.#completedOf.length; worker++) {
      least = Math.min(least, this.#completedOf[worker])
    }
    return least
  }
}
