// What: tests of the choice of a driver and its reason, with a fake probe.
// Flow: server (chooseDriver) -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { IO_URING_FEATURES } from '../../src/binding.ts'
import { OverlappedError } from '../../src/errors.ts'
import { chooseDriver } from '../../src/server/choose_driver.ts'

const DENIED = 'io_uring_setup: operation not permitted'

const ALL = Object.values(IO_URING_FEATURES).reduce((bits, bit) => bits | bit, 0)

function probe(reason: string, features = ALL) {
  let count = 0
  const binding = {
    probeUring: () => {
      count++
      return { reason, features }
    },
  }
  return { binding, probes: () => count }
}

describe('auto', () => {
  it('takes io_uring where the probe succeeds', () => {
    const { binding, probes } = probe('')
    expect(chooseDriver(binding, 'auto')).toEqual({
      driver: 'io_uring',
      reason: 'auto: the probe succeeded',
      zeroCopy: 'off',
    })
    expect(probes()).toBe(1)
  })

  it('takes epoll where it does not, and says why', () => {
    expect(chooseDriver(probe(DENIED).binding, 'auto')).toEqual({
      driver: 'epoll',
      reason: `auto: ${DENIED}`,
      zeroCopy: 'off',
    })
  })
})

describe('by name', () => {
  it('epoll is taken without a probe', () => {
    const { binding, probes } = probe('')
    expect(chooseDriver(binding, 'epoll')).toEqual({
      driver: 'epoll',
      reason: 'asked for',
      zeroCopy: 'off',
    })
    expect(probes()).toBe(0)
  })

  it('io_uring is taken where the probe succeeds', () => {
    expect(chooseDriver(probe('').binding, 'io_uring')).toEqual({
      driver: 'io_uring',
      reason: 'asked for',
      zeroCopy: 'off',
    })
  })

  it('io_uring is an error where it is denied: why, and what works', () => {
    const choose = () => chooseDriver(probe(DENIED).binding, 'io_uring')
    expect(choose).toThrow(OverlappedError)
    expect(choose).toThrow(`driver is 'io_uring', but ${DENIED}; 'auto' and 'epoll' work here`)
    try {
      choose()
    } catch (error) {
      expect((error as OverlappedError).code).toBe('ERR_DRIVER_UNAVAILABLE')
    }
  })
})

describe('what io_uring goes without', () => {
  const { multishotRecv, skipSuccess } = IO_URING_FEATURES

  it('is named where the kernel lacks it', () => {
    const { binding } = probe('', ALL & ~multishotRecv & ~skipSuccess)
    expect(chooseDriver(binding, 'auto').reason).toBe(
      'auto: the probe succeeded; the kernel lacks multishotRecv, skipSuccess',
    )
    expect(chooseDriver(binding, 'io_uring').reason).toBe(
      'asked for; the kernel lacks multishotRecv, skipSuccess',
    )
  })

  it('is named where an option rules it out, unless the kernel lacks it anyway', () => {
    const { binding } = probe('', ALL & ~skipSuccess)
    expect(chooseDriver(binding, 'io_uring', ['deferTaskrun', 'skipSuccess']).reason).toBe(
      'asked for; the kernel lacks skipSuccess; ioUringWithout rules out deferTaskrun',
    )
  })

  it('is not named for epoll', () => {
    expect(chooseDriver(probe(DENIED, 0).binding, 'auto', ['skipSuccess']).reason).toBe(
      `auto: ${DENIED}`,
    )
    expect(chooseDriver(probe('').binding, 'epoll', ['skipSuccess']).reason).toBe('asked for')
  })
})

describe('zero copy', () => {
  const asked = { minBytes: 5000 }

  it('is in force on io_uring', () => {
    const { binding } = probe('')
    expect(chooseDriver(binding, 'auto', [], asked)).toEqual({
      driver: 'io_uring',
      reason: 'auto: the probe succeeded',
      zeroCopy: asked,
    })
    expect(chooseDriver(binding, 'io_uring', [], 'auto').zeroCopy).toBe('auto')
  })

  it('is not on epoll, which whoever asked for a size is told', () => {
    expect(chooseDriver(probe('').binding, 'epoll', [], asked)).toEqual({
      driver: 'epoll',
      reason: 'asked for; zeroCopy is not in force, epoll copies here',
      zeroCopy: 'off',
    })
    expect(chooseDriver(probe(DENIED).binding, 'auto', [], 'auto')).toEqual({
      driver: 'epoll',
      reason: `auto: ${DENIED}`,
      zeroCopy: 'off',
    })
  })

  it('is not where the kernel lacks it, or it is ruled out', () => {
    const { zeroCopy } = IO_URING_FEATURES
    const { binding } = probe('', ALL & ~zeroCopy)
    expect(chooseDriver(binding, 'io_uring', [], asked)).toEqual({
      driver: 'io_uring',
      reason:
        'asked for; the kernel lacks zeroCopy; zeroCopy is not in force, io_uring copies here',
      zeroCopy: 'off',
    })
    expect(chooseDriver(probe('').binding, 'io_uring', ['zeroCopy'], 'auto').zeroCopy).toBe('off')
  })
})
