// What: what a driver told of a session, in words that are the same for every driver.
// Flow: completions of a place -> this -> the golden traces of the suite.
// Thread: the test's.

import { COMPLETION_FLAG_TERMINAL, CompletionKind, IoStatus } from '../../src/layout/layout.ts'

export interface Completion {
  readonly kind: number
  readonly flags: number
  readonly slot: number
  readonly generation: number
  readonly status: number
  readonly result: number
  /** What was received. */
  readonly bytes?: Uint8Array
  /** The turn that found it; completions of one turn came with one wait, or with a submission. */
  readonly turn: number
}

/** A session's two streams: what comes in one of them comes in order, between the two there is none. */
export interface Trace {
  readonly receiving: readonly string[]
  /** CONNECT is here, too: it comes before anything else. */
  readonly sending: readonly string[]
}

const nameIn = (names: Readonly<Record<string, number>>, value: number): string =>
  Object.keys(names).find((name) => names[name] === value) ?? `${value}`

const statusOf = ({ status }: Completion) => nameIn(IoStatus, status)

function receiveText(completion: Completion): string {
  const { kind, flags, status, result } = completion
  if (kind !== CompletionKind.RECV) {
    const isPlain = status === IoStatus.OK && result === 0
    return isPlain ? nameIn(CompletionKind, kind) : `${nameIn(CompletionKind, kind)} with values`
  }
  const isLast = (flags & COMPLETION_FLAG_TERMINAL) !== 0
  if (status === IoStatus.OK) return isLast ? 'RECV OK as its last' : `RECV ${result}`
  return isLast && result === 0 ? `RECV ${statusOf(completion)}` : 'RECV that is not its last'
}

/** Bytes that came one after the other are one entry: how a stream is cut is nobody's promise. */
function receiving(completions: readonly Completion[]): string[] {
  const lines: string[] = []
  let bytes = 0
  const flush = () => {
    if (bytes > 0) lines.push(`RECV ${bytes}`)
    bytes = 0
  }
  for (const completion of completions) {
    if (completion.kind === CompletionKind.RECV && completion.result > 0) {
      bytes += completion.result
      continue
    }
    flush()
    lines.push(receiveText(completion))
  }
  flush()
  return lines
}

/** Sends that were taken, whole or in part, are one entry: how much a socket takes is nobody's promise. */
function sending(completions: readonly Completion[]): string[] {
  const lines: string[] = []
  let taken = -1
  const flush = () => {
    if (taken >= 0) lines.push(`SEND OK ${taken}`)
    taken = -1
  }
  for (const completion of completions) {
    const { kind, status, result } = completion
    if (kind === CompletionKind.SEND && status === IoStatus.OK) {
      taken = Math.max(taken, 0) + result
      continue
    }
    flush()
    const isConnect = kind === CompletionKind.CONNECT
    lines.push(
      isConnect ? `CONNECT ${statusOf(completion)}` : `SEND ${statusOf(completion)} ${result}`,
    )
  }
  flush()
  return lines
}

const SENDING: readonly number[] = [CompletionKind.SEND, CompletionKind.CONNECT]

/** `completions` of one session, in the order in which they came. */
export function traceOf(completions: readonly Completion[]): Trace {
  return {
    receiving: receiving(completions.filter(({ kind }) => !SENDING.includes(kind))),
    sending: sending(completions.filter(({ kind }) => SENDING.includes(kind))),
  }
}
