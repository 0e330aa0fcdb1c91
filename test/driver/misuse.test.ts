// What: the driver contract: what nobody may submit ends the process with a sentence; the simulation reports it.
// Flow: words that break a rule -> a driver, in a process of its own -> its last words -> this.
// Thread: the test's; a child process.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { GATHER_MAX, SEND_FLAG_NOW, SubmissionOp } from '../../src/layout/layout.ts'
import { driverKind } from '../helpers/drivers.ts'
import { type PlaceDriver, placeDrivers } from './conform.ts'
import { type Entry, entryOf, type Session } from './place.ts'
import { SimPlace } from './sim_place.ts'

const CHILD = fileURLToPath(new URL('../helpers/misuse_child.mjs', import.meta.url))

/** A session that receives, whose slot and generation misuse_child.mjs has, too. */
const session: Session = { slot: 1, generation: 5 }
const free: Session = { slot: 2, generation: 1 }
const stale: Session = { slot: 1, generation: 4 }
/** More than any table of this suite has. */
const unknown: Session = { slot: 1000, generation: 1 }
const NO_TOKEN = 99

function send(to: Session, slices: number): Entry {
  const head = SubmissionOp.SEND | (SEND_FLAG_NOW << 8) | (slices << 16)
  const at = 4_000_000
  return entryOf(head, to, slices, ...Array.from({ length: slices }, () => [at, 1]).flat())
}

/** Each ends the process. */
const cases: Readonly<Record<string, readonly Entry[]>> = {
  'a send with an old generation': [send(stale, 1)],
  'a receive with an old generation': [entryOf(SubmissionOp.RECV, stale)],
  'a cancel with an old generation': [entryOf(SubmissionOp.CANCEL, stale)],
  'a close with an old generation': [entryOf(SubmissionOp.CLOSE, stale)],
  'a send of a slot that holds no session': [send(free, 1)],
  'a receive of a slot that holds no session': [entryOf(SubmissionOp.RECV, free)],
  'a slot that does not exist': [entryOf(SubmissionOp.RECV, unknown)],
  'a token that does not exist': [entryOf(SubmissionOp.ATTACH, free, NO_TOKEN)],
  'REFUSE of a token that does not exist': [[SubmissionOp.REFUSE, NO_TOKEN]],
  'ATTACH to a slot that is taken': [entryOf(SubmissionOp.ATTACH, session, NO_TOKEN)],
  'a second receive': [entryOf(SubmissionOp.RECV, session)],
  'CLOSE while it receives': [entryOf(SubmissionOp.CLOSE, session)],
  'D5: a gather without slices': [send(session, 0)],
  [`D5: a gather of more than ${GATHER_MAX}`]: [send(session, GATHER_MAX + 1)],
  'an operation that does not exist': [entryOf(99, session)],
  'BORROW by who has sockets of its own': [entryOf(SubmissionOp.BORROW, free)],
}

async function expectViolation(entries: readonly Entry[]): Promise<void> {
  const place = new SimPlace(1, {})
  try {
    await place.join(session)
    await place.owner.submit(...entries)
    expect(place.addon.violation(place.world)).not.toBe('')
  } finally {
    await place.destroy()
  }
}

async function expectAbort(driver: PlaceDriver, entries: readonly Entry[]): Promise<void> {
  const kind = driverKind(driver as Exclude<PlaceDriver, 'sim'>)
  const args = [CHILD, JSON.stringify({ kind, session, entries })]
  const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
    execFile(process.execPath, args, (error, _stdout, stderr) => {
      resolve({ code: error?.signal ?? error?.code ?? 0, stderr })
    })
  })
  expect(stderr).toMatch(/^overlapped: (?:.*: )?broken: /m)
  expect(code).not.toBe(0)
}

describe.each(placeDrivers)('%s', (driver) => {
  for (const [name, entries] of Object.entries(cases)) {
    it(`DRIVER-6: ${name}`, () =>
      driver === 'sim' ? expectViolation(entries) : expectAbort(driver, entries))
  }
})
