// What: the options of connect(), checked, with defaults filled in.
// Flow: user -> this -> connector.
// Thread: those that run content.

import { nearest, refusal, show, unknownName } from '../config/check_option.ts'
import { checkObject, checkProtocol, checkValues, type Values } from '../config/check_protocol.ts'
import { connectByNameOptions, connectOptions } from '../config/option_schema.ts'
import { OverlappedError } from '../errors.ts'
import type { ProtocolRecord } from '../shared/protocol_table.ts'
import type { ReconnectOptions } from './handler.ts'

/** A protocol that connect() was given in full. */
export interface GivenProtocol {
  readonly record: ProtocolRecord
  /** URL of its handler module. */
  readonly handler: string
}

export interface Target {
  readonly host: string
  readonly port: number
  readonly timeoutMs: number
  readonly data: unknown
  readonly signal: AbortSignal | null
  /** Null: it does not reconnect. */
  readonly reconnect: Required<ReconnectOptions> | null
  /** A declared protocol's name, or a protocol. */
  readonly protocol: string | GivenProtocol
}

const RECONNECT_DEFAULTS: Required<ReconnectOptions> = {
  minDelay: 100,
  maxDelay: 30_000,
  factor: 2,
  jitter: 0.5,
  attempts: Number.POSITIVE_INFINITY,
}

/** A timer of Node has 31 bits. */
const DELAY_MAX_MS = 2_147_483_647
const FACTOR_MAX = 10

function checkRange(name: string, value: unknown, isAllowed: boolean, allowed: string): void {
  const code = typeof value === 'number' ? 'ERR_OPTION_RANGE' : 'ERR_OPTION_TYPE'
  if (typeof value !== 'number' || !isAllowed)
    throw refusal(code, `connect() reconnect.${name}`, value, allowed)
}

/** @throws {OverlappedError} ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE, ERR_OPTION_RANGE */
export function checkReconnect(given: unknown): Required<ReconnectOptions> | null {
  if (given === undefined || given === false) return null
  if (given === true) return RECONNECT_DEFAULTS
  checkObject('connect() reconnect', given)
  const known = Object.keys(RECONNECT_DEFAULTS)
  const values: Required<ReconnectOptions> = { ...RECONNECT_DEFAULTS }
  for (const [key, value] of Object.entries(given)) {
    if (!known.includes(key)) {
      const label = `connect() reconnect.${key}`
      throw unknownName('an option', label, ` (${show(value)})`, nearest(key, known))
    }
    if (value !== undefined) Object.assign(values, { [key]: value })
  }
  const { minDelay, maxDelay, factor, jitter, attempts } = values
  const isDelay = (ms: number) => Number.isInteger(ms) && ms >= 1 && ms <= DELAY_MAX_MS
  const delay = `a whole number from 1 to ${DELAY_MAX_MS} (milliseconds)`
  checkRange('minDelay', minDelay, isDelay(minDelay), delay)
  checkRange('maxDelay', maxDelay, isDelay(maxDelay), delay)
  const least = `at least minDelay, which is ${minDelay}`
  checkRange('maxDelay', maxDelay, maxDelay >= minDelay, least)
  const isFactor = factor >= 1 && factor <= FACTOR_MAX
  checkRange('factor', factor, isFactor, `a number from 1 to ${FACTOR_MAX}`)
  checkRange('jitter', jitter, jitter >= 0 && jitter <= 1, 'a number from 0 to 1')
  const isCount = attempts === Number.POSITIVE_INFINITY || Number.isSafeInteger(attempts)
  const count = 'a whole number from 1 on, or Infinity'
  checkRange('attempts', attempts, isCount && attempts >= 1, count)
  return values
}

function checkSignal(signal: unknown): AbortSignal | null {
  if (signal === undefined) return null
  if (signal instanceof AbortSignal) return signal
  throw refusal('ERR_OPTION_TYPE', 'connect() signal', signal, 'an AbortSignal')
}

function protocolOf(values: Values): GivenProtocol {
  return {
    record: {
      framing: values.framing,
      maxPayloadLength: values.maxPayloadLength,
      resetOnClose: values.closeMode === 'reset',
      noDelay: values.noDelay,
      sendBufferBytes: values.sendBufferBytes,
      receiveBufferBytes: values.receiveBufferBytes,
    } as ProtocolRecord,
    handler: values.handler as string,
  }
}

/**
 * `inherited`: URL of the server's handler, where it has one.
 * @throws {OverlappedError} ERR_ARGUMENT, ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE, ERR_OPTION_RANGE
 */
export function checkConnect(options: unknown, inherited: string | undefined): Target {
  checkObject('connect() options', options)
  const { framing, ...unframed } = options
  const { protocol } = options
  if ((protocol === undefined) === (framing === undefined)) {
    const given = protocol === undefined ? 'neither protocol nor framing' : 'protocol and framing'
    throw new OverlappedError('ERR_ARGUMENT', `connect() was given ${given}; it takes one of them`)
  }
  const isNamed = protocol !== undefined
  const values = isNamed
    ? checkValues(connectByNameOptions, unframed, 'connect() ')
    : checkValues(connectOptions, options, 'connect() ')
  return {
    host: values.host as string,
    port: values.port as number,
    timeoutMs: values.timeout as number,
    data: values.data,
    signal: checkSignal(values.signal),
    reconnect: checkReconnect(values.reconnect),
    protocol: isNamed
      ? (protocol as string)
      : protocolOf(checkProtocol(values, 'connect() options', inherited)),
  }
}
