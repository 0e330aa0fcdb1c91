// What: tests of the choice of a driver and its reason, with a fake probe.
// Flow: server (chooseDriver) -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { IO_URING_FEATURES, IOCP_FEATURES } from '../../src/binding.ts'
import { OverlappedError } from '../../src/errors.ts'
import { chooseDriver, featureBits } from '../../src/server/choose_driver.ts'
import type { DriverChoice, IocpFeature } from '../../src/server/options.ts'

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
    })
    expect(probes()).toBe(1)
  })

  it('takes epoll where it does not, and says why', () => {
    expect(chooseDriver(probe(DENIED).binding, 'auto')).toEqual({
      driver: 'epoll',
      reason: `auto: ${DENIED}`,
    })
  })
})

describe('by name', () => {
  it('epoll is taken without a probe', () => {
    const { binding, probes } = probe('')
    expect(chooseDriver(binding, 'epoll')).toEqual({ driver: 'epoll', reason: 'asked for' })
    expect(probes()).toBe(0)
  })

  it('io_uring is taken where the probe succeeds', () => {
    expect(chooseDriver(probe('').binding, 'io_uring')).toEqual({
      driver: 'io_uring',
      reason: 'asked for',
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

describe('on Windows', () => {
  const onWindows = (choice: DriverChoice, without: readonly IocpFeature[] = []) =>
    chooseDriver(probe('').binding, choice, [], without, 'win32')

  it('iocp is taken, and what it goes without is named', () => {
    expect(onWindows('auto')).toEqual({ driver: 'iocp', reason: 'auto: this is Windows' })
    expect(onWindows('iocp', ['trySend', 'queuedSuccess'])).toEqual({
      driver: 'iocp',
      reason: 'asked for; iocpWithout rules out trySend, queuedSuccess',
    })
  })

  it.each(['io_uring', 'epoll'] as const)('%s is an error', (choice) => {
    expect(() => onWindows(choice)).toThrow(
      `driver is '${choice}', which is a part of Linux; 'auto' and 'iocp' work here`,
    )
  })

  it('iocp is an error elsewhere', () => {
    expect(() => chooseDriver(probe('').binding, 'iocp', [], [], 'linux')).toThrow(
      "driver is 'iocp', which is a part of Windows; 'auto', 'io_uring' and 'epoll' are for Linux",
    )
  })

  it('each way that can be ruled out is a bit of its own', () => {
    const all = Object.keys(IOCP_FEATURES) as IocpFeature[]
    expect(featureBits([], all)).toBe(64 | 128 | 256)
    expect(featureBits(['fileTable'], ['trySend'])).toBe(32 | 128)
  })
})
