// What: a histogram of latencies: logarithmic buckets, each power of two in 32 steps.
// Flow: load_handler adds, one per worker -> load_cli merges -> report reads percentiles.
// Thread: any; one writer.

/** Steps per power of two as bits: 32, so that a percentile is within 3 % of the true one. */
const STEP_BITS = 5
const STEPS = 2 ** STEP_BITS
/** Values are 31-bit counts of 100 ns: 0.1 µs to 214 s. V8 passes such an integer without a box. */
const UNITS_PER_MS = 10_000
const UNITS_MAX = 2 ** 31 - 1
const BUCKETS = (31 - STEP_BITS + 1) * STEPS

/** Milliseconds as add() takes them; negative ones are 0, longer ones the longest there is. */
export function latencyUnits(ms: number): number {
  return Math.max(0, Math.min(Math.round(ms * UNITS_PER_MS), UNITS_MAX)) | 0
}

/** A histogram as it crosses threads. */
export interface HistogramData {
  readonly buckets: Float64Array
  readonly count: number
  /** The largest value, in units. */
  readonly max: number
}

function bucketOf(units: number): number {
  if (units < STEPS) return units
  const shift = 31 - Math.clz32(units) - STEP_BITS
  return shift * STEPS + (units >>> shift)
}

/** The value in the middle of a bucket. */
function middleOf(bucket: number): number {
  if (bucket < STEPS) return bucket
  const shift = Math.floor(bucket / STEPS) - 1
  return (bucket - shift * STEPS) * 2 ** shift + (2 ** shift - 1) / 2
}

/** latencyUnits() in, milliseconds out; its size never changes. */
export class Histogram {
  readonly #buckets = new Float64Array(BUCKETS)
  #count = 0
  #max = 0

  get count(): number {
    return this.#count
  }

  /** The largest value, exactly. */
  get maxMs(): number {
    return this.#max / UNITS_PER_MS
  }

  add(units: number): void {
    this.#buckets[bucketOf(units)]++
    this.#count++
    if (units > this.#max) this.#max = units
  }

  /** What toData() of another one returned. */
  merge(from: HistogramData): void {
    for (let at = 0; at < BUCKETS; at++) this.#buckets[at] += from.buckets[at]
    this.#count += from.count
    this.#max = Math.max(this.#max, from.max)
  }

  toData(): HistogramData {
    return { buckets: this.#buckets.slice(), count: this.#count, max: this.#max }
  }

  /** The value that `percent` of all values do not exceed, in milliseconds; 0 where there is none. */
  percentile(percent: number): number {
    const rank = Math.max(1, Math.ceil((this.#count * percent) / 100))
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#buckets[bucket]
      if (seen >= rank) return Math.min(middleOf(bucket), this.#max) / UNITS_PER_MS
    }
    return this.maxMs
  }
}
