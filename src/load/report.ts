// What: the result of a load, as text and as JSON, and the line of each second.
// Flow: load_cli, demo -> this -> the terminal.
// Thread: main.

import type { LoadPlan } from './load_plan.ts'
import { FAULT_KINDS, type Fault, type FaultCounts } from './message.ts'

/** Latencies in milliseconds. */
export interface Latencies {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface LoadResult {
  readonly mode: LoadPlan['mode']
  readonly connections: number
  readonly depth: number
  readonly size: number
  readonly workers: number
  readonly driver: string
  /** Seconds from the first message to the end of sending. */
  readonly seconds: number
  readonly sent: number
  readonly received: number
  readonly verified: number
  /** Received until the end of sending, per second. */
  readonly messagesPerSecond: number
  /** The same in 1,000,000 bytes, without framing. */
  readonly megabytesPerSecond: number
  readonly latencyMs: Latencies
  readonly fault: Fault | undefined
  readonly faults: FaultCounts
}

/** `zero loss, N messages verified`, or the first fault. */
export function verdict({ fault, verified }: Pick<LoadResult, 'fault' | 'verified'>): string {
  if (fault === undefined) return `zero loss, ${verified} messages verified`
  const { kind, client, expected, got } = fault
  return `FAULT: ${kind}: client ${client} expected ${expected} got ${got}`
}

/** 1234567 as 1,234,567. */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Milliseconds with three digits that count: 0.0452, 1.23, 145. */
export function showMs(ms: number): string {
  return `${ms >= 100 ? Math.round(ms) : Number(ms.toPrecision(3))} ms`
}

export function latencyText({ p50, p90, p99, p999, max }: Latencies): string {
  const named = { p50, p90, p99, 'p99.9': p999, max }
  return Object.entries(named)
    .map(([name, ms]) => `${name} ${showMs(ms)}`)
    .join('  ')
}

function faultsText(faults: FaultCounts): string {
  const found = FAULT_KINDS.filter((kind) => faults[kind] > 0)
  return found.map((kind) => `${kind} ${grouped(faults[kind])}`).join('  ')
}

/** The result for people; ends with a newline. What failed before the first message is one line. */
export function resultText(result: LoadResult): string {
  const last = `verdict: ${verdict(result)}\n`
  if (result.fault?.kind === 'connect failed') return last
  const { mode, connections, depth, size, workers, driver } = result
  const of = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`
  const load = `${mode}, ${of(connections, 'connection')}, depth ${depth}, ${size} bytes`
  const rate = `${grouped(result.messagesPerSecond)} msgs/s`
  const lines = [
    `load      ${load}, ${of(workers, 'worker')}, ${driver}`,
    `messages  ${grouped(result.sent)} sent, ${grouped(result.received)} received`,
    `rate      ${rate}, ${result.megabytesPerSecond.toFixed(1)} MB/s`,
    `latency   ${latencyText(result.latencyMs)}`,
  ]
  if (result.fault !== undefined) lines.push(`faults    ${faultsText(result.faults)}`)
  return `${lines.join('\n')}\n${last}`
}

/** The result as one line of JSON, with a newline; `fault` is null where there is none. */
export function resultJson(result: LoadResult): string {
  const { fault, ...rest } = result
  return `${JSON.stringify({ ...rest, fault: fault ?? null, verdict: verdict(result) })}\n`
}

/** The line of a second, with a newline. */
export function liveLine(second: number, messages: number, size: number): string {
  const megabytes = ((messages * size) / 1_000_000).toFixed(1)
  return `${String(second).padStart(5)} s  ${grouped(messages)} msgs/s  ${megabytes} MB/s\n`
}
