// What: tests of the choice of a driver and its reason, with a fake probe.
// Flow: server (chooseDriver) -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import {
  type Binding,
  IO_URING_FEATURES,
  IOCP_FEATURES,
  IOCP_SEND_BUFFER,
} from '../../src/binding.ts'
import { OverlappedError } from '../../src/errors.ts'
import { chooseDriver, type DriverWishes } from '../../src/server/choose_driver.ts'
import type { DriverChoice, IocpFeature, IoUringFeature } from '../../src/server/options.ts'

const DENIED = 'io_uring_setup: operation not permitted'

const ALL = Object.values(IO_URING_FEATURES).reduce((bits, bit) => bits | bit, 0)

interface Probe {
  readonly binding: Pick<Binding, 'probeDriver'>
  probes(): number
}

function probe(reason: string, features = ALL): Probe {
  let count = 0
  const binding = {
    probeDriver: () => {
      count++
      return { reason, features }
    },
  }
  return { binding, probes: () => count }
}

const onLinux = ({ binding }: Probe, wishes: DriverWishes) => chooseDriver(binding, wishes, 'linux')

describe('auto', () => {
  it('takes io_uring where the probe succeeds', () => {
    const probed = probe('')
    expect(onLinux(probed, { driver: 'auto' })).toEqual({
      driver: 'io_uring',
      reason: 'auto: the probe succeeded',
      zeroCopy: 'off',
      featuresForbidden: 0,
    })
    expect(probed.probes()).toBe(1)
  })

  it('takes epoll where it does not, and says why', () => {
    const { driver, reason } = onLinux(probe(DENIED), { driver: 'auto' })
    expect({ driver, reason }).toEqual({ driver: 'epoll', reason: `auto: ${DENIED}` })
  })
})

describe('by name', () => {
  it('epoll is taken without a probe', () => {
    const probed = probe('')
    const { driver, reason } = onLinux(probed, { driver: 'epoll' })
    expect({ driver, reason }).toEqual({ driver: 'epoll', reason: 'asked for' })
    expect(probed.probes()).toBe(0)
  })

  it('io_uring is taken where the probe succeeds', () => {
    const { driver, reason } = onLinux(probe(''), { driver: 'io_uring' })
    expect({ driver, reason }).toEqual({ driver: 'io_uring', reason: 'asked for' })
  })

  it('io_uring is an error where it is denied: why, and what works', () => {
    const choose = () => onLinux(probe(DENIED), { driver: 'io_uring' })
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
  const { multishotRecv, skipSuccess, deferTaskrun } = IO_URING_FEATURES

  it('is named where the kernel lacks it', () => {
    const probed = probe('', ALL & ~multishotRecv & ~skipSuccess)
    expect(onLinux(probed, { driver: 'auto' }).reason).toBe(
      'auto: the probe succeeded; the kernel lacks multishotRecv, skipSuccess',
    )
    expect(onLinux(probed, { driver: 'io_uring' }).reason).toBe(
      'asked for; the kernel lacks multishotRecv, skipSuccess',
    )
  })

  it('is named where an option rules it out, unless the kernel lacks it anyway', () => {
    const ioUringWithout: IoUringFeature[] = ['deferTaskrun', 'skipSuccess']
    const decision = onLinux(probe('', ALL & ~skipSuccess), { driver: 'io_uring', ioUringWithout })
    expect(decision).toMatchObject({
      reason: 'asked for; the kernel lacks skipSuccess; ioUringWithout rules out deferTaskrun',
      featuresForbidden: deferTaskrun | skipSuccess,
    })
  })

  it('is not named for epoll', () => {
    const ioUringWithout: IoUringFeature[] = ['skipSuccess']
    expect(onLinux(probe(DENIED, 0), { driver: 'auto', ioUringWithout }).reason).toBe(
      `auto: ${DENIED}`,
    )
    expect(onLinux(probe(''), { driver: 'epoll', ioUringWithout }).reason).toBe('asked for')
  })
})

describe('on Windows', () => {
  const windows = probe('', IOCP_SEND_BUFFER)
  const wine = probe('', 0)
  const onWindows = (wishes: DriverWishes, { binding } = windows) =>
    chooseDriver(binding, wishes, 'win32')

  it('iocp is taken, and what it goes without is named', () => {
    const { driver, reason } = onWindows({ driver: 'auto' })
    expect({ driver, reason }).toEqual({ driver: 'iocp', reason: 'auto: this is Windows' })
    const iocpWithout: IocpFeature[] = ['trySend', 'queuedSuccess']
    expect(onWindows({ driver: 'iocp', iocpWithout })).toEqual({
      driver: 'iocp',
      reason: 'asked for; iocpWithout rules out trySend, queuedSuccess',
      zeroCopy: 'off',
      featuresForbidden: IOCP_FEATURES.trySend | IOCP_FEATURES.queuedSuccess,
    })
  })

  it.each<DriverChoice>(['io_uring', 'epoll'])('%s is an error', (driver) => {
    expect(() => onWindows({ driver })).toThrow(
      `driver is '${driver}', which is a part of Linux; 'auto' and 'iocp' work here`,
    )
  })

  it('iocp is an error elsewhere', () => {
    expect(() => onLinux(probe(''), { driver: 'iocp' })).toThrow(
      "driver is 'iocp', which is a part of Windows; 'auto', 'io_uring' and 'epoll' are for Linux",
    )
  })

  it('each way that can be ruled out is a bit of its own', () => {
    const bits = [
      ...Object.values(IO_URING_FEATURES),
      ...Object.values(IOCP_FEATURES),
      IOCP_SEND_BUFFER,
    ]
    expect(bits).toEqual(bits.map((_, i) => 2 ** i))
  })

  it('zero copy of a size takes the send buffer away, so that every send pends', () => {
    const zeroCopy = { minBytes: 5000 }
    expect(onWindows({ driver: 'iocp', zeroCopy })).toEqual({
      driver: 'iocp',
      reason: 'asked for',
      zeroCopy,
      featuresForbidden: IOCP_FEATURES.trySend | IOCP_SEND_BUFFER,
    })
  })

  it('zero copy is not in force by itself, nor where sockets are those of Linux', () => {
    const off = { zeroCopy: 'off', featuresForbidden: 0 }
    expect(onWindows({ driver: 'iocp', zeroCopy: 'auto' })).toMatchObject({
      reason: 'asked for',
      ...off,
    })
    expect(onWindows({ driver: 'iocp', zeroCopy: { minBytes: 1 } }, wine)).toMatchObject({
      reason: 'asked for; zeroCopy is not in force, iocp copies here',
      ...off,
    })
  })
})

describe('zero copy', () => {
  const zeroCopy = { minBytes: 5000 }

  it('is in force on io_uring', () => {
    expect(onLinux(probe(''), { driver: 'auto', zeroCopy })).toEqual({
      driver: 'io_uring',
      reason: 'auto: the probe succeeded',
      zeroCopy,
      featuresForbidden: 0,
    })
    expect(onLinux(probe(''), { driver: 'io_uring', zeroCopy: 'auto' }).zeroCopy).toBe('auto')
  })

  it('is not on epoll, which whoever asked for a size is told', () => {
    expect(onLinux(probe(''), { driver: 'epoll', zeroCopy })).toMatchObject({
      reason: 'asked for; zeroCopy is not in force, epoll copies here',
      zeroCopy: 'off',
    })
    expect(onLinux(probe(DENIED), { driver: 'auto', zeroCopy: 'auto' })).toMatchObject({
      reason: `auto: ${DENIED}`,
      zeroCopy: 'off',
    })
  })

  it('is not where the kernel lacks it, or it is ruled out', () => {
    const lacking = probe('', ALL & ~IO_URING_FEATURES.zeroCopy)
    expect(onLinux(lacking, { driver: 'io_uring', zeroCopy })).toMatchObject({
      reason:
        'asked for; the kernel lacks zeroCopy; zeroCopy is not in force, io_uring copies here',
      zeroCopy: 'off',
    })
    const ioUringWithout: IoUringFeature[] = ['zeroCopy']
    expect(
      onLinux(probe(''), { driver: 'io_uring', ioUringWithout, zeroCopy: 'auto' }).zeroCopy,
    ).toBe('off')
  })
})
