// What: registers a test of the driver contract for a driver: simulated with many seeds, or on real sockets.
// Flow: the suite -> this -> sim_place.ts, real_place.ts.
// Thread: the test's.

import { it } from 'vitest'
import { type Driver, drivers } from '../helpers/drivers.ts'
import { missing } from './missing.mjs'
import type { Place, PlaceOptions } from './place.ts'
import { RealPlace } from './real_place.ts'
import { SimPlace } from './sim_place.ts'

const SEEDS = 10

export type PlaceDriver = Driver | 'sim'

/** The drivers of this process, the simulated one among them where it is built. */
export const placeDrivers: readonly PlaceDriver[] =
  process.platform === 'win32' ? drivers : ['sim', ...drivers]

export async function openPlace(
  driver: PlaceDriver,
  options: PlaceOptions,
  seed: number,
): Promise<Place> {
  return driver === 'sim' ? new SimPlace(seed, options) : RealPlace.open(driver, options)
}

/** Bytes that differ from place to place, in the part of the arena that sends are made from. */
function fillArena(place: Place): void {
  const { chunkByteAt, arenaBytes } = place.arena.plan
  const words = new Uint32Array(
    place.memory.memories.arena,
    chunkByteAt,
    (arenaBytes - chunkByteAt) >> 2,
  )
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2_654_435_761)
}

type Body = (place: Place) => Promise<void>

async function runOnce(place: Place, body: Body): Promise<void> {
  try {
    fillArena(place)
    await body(place)
    place.expectComplete()
    place.verify()
  } finally {
    await place.destroy()
  }
}

/** For `describe.each(placeDrivers)`: a test of the suite, unless missing.ts says that this driver lacks it. */
export function conforms(driver: PlaceDriver) {
  return (name: string, options: PlaceOptions, body: Body): void => {
    if (missing.some((each) => each.driver === driver && each.test === name)) return
    it(name, async () => {
      const seeds = driver === 'sim' ? SEEDS : 1
      for (let seed = 1; seed <= seeds; seed++) {
        const place = await openPlace(driver, options, seed)
        await runOnce(place, body).catch((error: Error) => {
          if (driver === 'sim') error.message = `seed ${seed}: ${error.message}`
          throw error
        })
      }
    })
  }
}
