// What: session ids: slot and generation in one safe integer.
// Flow: registry makes them -> users keep them -> session_table takes them apart.
// Thread: any.

import { SLOT_BITS } from '../layout/layout.ts'

/** A session's name: 52 bits, never 0, never used again. */
export type SessionId = number

const SLOTS = 2 ** SLOT_BITS

export function makeSessionId(slot: number, generation: number): SessionId {
  return generation * SLOTS + slot
}

export function slotOf(id: SessionId): number {
  return id % SLOTS
}

/** 1 to 2^32 - 1. */
export function generationOf(id: SessionId): number {
  return Math.floor(id / SLOTS)
}

/** Whether a number can be a session id at all. */
export function isSessionId(id: unknown): id is SessionId {
  return Number.isSafeInteger(id) && (id as number) >= SLOTS && (id as number) < SLOTS * 2 ** 32
}
