// What: tests of the core count, with files as the kernel writes them.
// Flow: cores -> this.
// Thread: main.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { availableCores } from '../../src/shared/cores.ts'

const roots: string[] = []

function rootWith(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'overlapped-cores-'))
  roots.push(root)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true })
})

const V1 = '4:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n'

describe('availableCores', () => {
  it.each<[string, number, Record<string, string>, number]>([
    ['no cgroups', 8, {}, 8],
    ['v2 without a cpu controller', 8, { 'proc/self/cgroup': '0::/a\n' }, 8],
    ['v2 max', 8, { 'proc/self/cgroup': '0::/a\n', 'sys/fs/cgroup/a/cpu.max': 'max 100000\n' }, 8],
    [
      'v2 quota of the group itself, rounded down',
      8,
      { 'proc/self/cgroup': '0::/a/b\n', 'sys/fs/cgroup/a/b/cpu.max': '250000 100000\n' },
      2,
    ],
    [
      'v2 quota of a group above',
      8,
      {
        'proc/self/cgroup': '0::/a/b\n',
        'sys/fs/cgroup/a/cpu.max': '300000 100000\n',
        'sys/fs/cgroup/a/b/cpu.max': '700000 100000\n',
      },
      3,
    ],
    [
      'v2 of a container, whose group is the root',
      8,
      { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '400000 100000\n' },
      4,
    ],
    [
      'v2 path outside the namespace',
      8,
      { 'proc/self/cgroup': '0::/../other\n', 'sys/fs/cgroup/cpu.max': '200000 100000\n' },
      2,
    ],
    [
      'less than a core',
      8,
      { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '50000 100000\n' },
      1,
    ],
    [
      'affinity below the quota',
      2,
      { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '400000 100000\n' },
      2,
    ],
    [
      'v1 quota',
      8,
      {
        'proc/self/cgroup': V1,
        'sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us': '300000\n',
        'sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us': '100000\n',
      },
      3,
    ],
    [
      'v1 without a quota',
      8,
      {
        'proc/self/cgroup': V1,
        'sys/fs/cgroup/cpu/box/cpu.cfs_quota_us': '-1\n',
        'sys/fs/cgroup/cpu/box/cpu.cfs_period_us': '100000\n',
      },
      8,
    ],
    [
      'v1 of a container, whose group is not visible inside',
      8,
      {
        'proc/self/cgroup': V1,
        'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '150000\n',
        'sys/fs/cgroup/cpu/cpu.cfs_period_us': '50000\n',
      },
      3,
    ],
    [
      'hybrid: v1 cpu beside v2',
      8,
      {
        'proc/self/cgroup': `${V1}0::/\n`,
        'sys/fs/cgroup/unified/cpu.max': 'max 100000\n',
        'sys/fs/cgroup/cpu/box/cpu.cfs_quota_us': '200000\n',
        'sys/fs/cgroup/cpu/box/cpu.cfs_period_us': '100000\n',
      },
      2,
    ],
    [
      'files that say nothing',
      8,
      { 'proc/self/cgroup': 'x\n0::/\n', 'sys/fs/cgroup/cpu.max': '\n' },
      8,
    ],
    [
      'a period of 0',
      8,
      { 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '100000 0\n' },
      8,
    ],
  ])('%s', (_, parallelism, files, cores) => {
    expect(availableCores({ root: rootWith(files), parallelism })).toBe(cores)
  })

  it('is between 1 and the cores of this machine', () => {
    const cores = availableCores()
    expect(Number.isInteger(cores)).toBe(true)
    expect(cores).toBeGreaterThanOrEqual(1)
    expect(cores).toBeLessThanOrEqual(availableParallelism())
  })
})
