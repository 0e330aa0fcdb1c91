// What: what load_cli and the workers of a load say to each other, and what they share.
// Flow: load_cli -> orders -> load_handler -> replies -> load_cli.
// Thread: none; types.

import type { HistogramData } from './histogram.ts'
import type { LoadPlan } from './load_plan.ts'
import type { Fault, FaultCounts } from './message.ts'

/** What load_cli gives the workers as runtime.data. */
export interface LoadData {
  readonly plan: LoadPlan
  /** The IP address of plan.host. */
  readonly address: string
  /** Send times of broadcast messages, a ring of at least `depth` doubles. */
  readonly times: SharedArrayBuffer
}

/**
 * What load_cli tells the workers, in this order. `handshake` is of broadcast: start messages until
 * every client has one. `drain`: no client sends any more; `sent` is by client 0.
 */
export type Order =
  | { readonly type: 'connect' | 'handshake' | 'go' | 'end' }
  | { readonly type: 'drain'; readonly sent: number }

/** What workers tell load_cli: what they have done of an order. */
export type Reply =
  | { readonly type: 'connected' | 'ready' | 'idle' }
  | { readonly type: 'failed'; readonly fault: Fault }
  | { readonly type: 'error'; readonly message: string }
  /** `sent` is by client 0, if it is here. */
  | { readonly type: 'ended'; readonly sent: number; readonly received: number }
  | ({ readonly type: 'drained' } & WorkerResult)

export interface WorkerResult {
  readonly sent: number
  readonly received: number
  readonly verified: number
  readonly latencies: HistogramData
  readonly fault: Fault | undefined
  readonly faults: FaultCounts
}

/** Tells worker1 how many broadcast messages all clients of another worker have got. */
export interface Completed {
  readonly type: 'completed'
  readonly worker: number
  readonly completed: number
}
