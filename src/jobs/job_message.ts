// What: a job and its result as bytes.
// Flow: job_client -> this -> completion port -> job_runner, and back.
// Thread: any.

import { deserialize, serialize } from 'node:v8'

/** Keys of entries that a job thread answers with. */
export const REPLY_RESULT = 0
export const REPLY_ERROR = 1

export interface JobCall {
  readonly name: string
  readonly args: unknown
}

/** What of an error crosses threads. */
interface ErrorData {
  readonly isError: true
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: unknown
}

/** @throws {Error} DataCloneError */
export function bytesOf(value: unknown): Uint8Array {
  return serialize(value)
}

export function valueIn(bytes: Uint8Array): unknown {
  return deserialize(bytes)
}

/** What a job threw, as it can cross. */
export function errorBytes(error: unknown): Uint8Array {
  if (error instanceof Error) {
    const { name, message, stack, code } = error as Error & { code?: unknown }
    const isPlain = typeof code === 'string' || typeof code === 'number'
    const data: ErrorData = {
      isError: true,
      name,
      message,
      stack,
      code: isPlain ? code : undefined,
    }
    return serialize(data)
  }
  try {
    return serialize(error)
  } catch {
    return serialize(String(error))
  }
}

export function errorOf(bytes: Uint8Array): unknown {
  const data = deserialize(bytes) as ErrorData
  if (typeof data !== 'object' || data === null || data.isError !== true) return data
  const error = new Error(data.message) as Error & { code?: unknown }
  error.name = data.name
  if (data.stack !== undefined) error.stack = data.stack
  if (data.code !== undefined) error.code = data.code
  return error
}
