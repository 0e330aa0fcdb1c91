// What: how many cores this process may use.
// Flow: affinity, cgroup files -> this -> resolve_options, completion_port.
// Thread: any.

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, normalize } from 'node:path'

/** Where the figures come from; tests give their own. */
export interface CoreSources {
  /** Directory that holds `proc` and `sys`. Default `/`. */
  readonly root?: string
  /** Cores by affinity. Default os.availableParallelism(). */
  readonly parallelism?: number
}

/**
 * Where the cpu controller may be mounted: cgroup v2 alone or beside v1 (hybrid), v1 with the
 * controller's own name or the name it shares with cpuacct.
 */
const V2_MOUNTS = ['sys/fs/cgroup', 'sys/fs/cgroup/unified']
const V1_MOUNTS = ['sys/fs/cgroup/cpu', 'sys/fs/cgroup/cpu,cpuacct']

/** Text of a file; undefined where there is none to read, as on a system without cgroups. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** The group and all groups above it: every one of them may have a quota. */
function ancestry(group: string): string[] {
  const parts = normalize(join('/', group)).split('/').filter(Boolean)
  return [...parts.keys(), parts.length].map((count) => parts.slice(0, count).join('/'))
}

/** Cores that a quota is worth; Infinity where the text says there is none, or is not one. */
function quotaCores(quota: string | undefined, period: string | undefined): number {
  const cores = Number(quota) / Number(period)
  return cores > 0 ? cores : Infinity
}

function readV2(directory: string): number {
  const [quota, period] = (readText(join(directory, 'cpu.max')) ?? '').split(' ')
  return quotaCores(quota, period)
}

function readV1(directory: string): number {
  const quota = readText(join(directory, 'cpu.cfs_quota_us'))
  return quotaCores(quota, readText(join(directory, 'cpu.cfs_period_us')))
}

/** Cores of the smallest cgroup quota above this process, a fraction or Infinity. */
function cgroupCores(root: string): number {
  let cores = Infinity
  for (const line of (readText(join(root, 'proc/self/cgroup')) ?? '').split('\n')) {
    const [, hierarchy, controllers, group] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (group === undefined) continue
    const v2 = hierarchy === '0'
    if (!v2 && !controllers.split(',').includes('cpu')) continue
    for (const mount of v2 ? V2_MOUNTS : V1_MOUNTS) {
      for (const ancestor of ancestry(group)) {
        const directory = join(root, mount, ancestor)
        cores = Math.min(cores, v2 ? readV2(directory) : readV1(directory))
      }
    }
  }
  return cores
}

/**
 * Cores that this process may use, at least 1: by affinity and by cgroup quota (v2 `cpu.max`, v1
 * `cpu.cfs_quota_us`), whichever is less. A quota of 2.5 cores counts as 2: a third worker would
 * get the whole process throttled, and with it every session.
 */
export function availableCores(sources: CoreSources = {}): number {
  const { root = '/', parallelism = availableParallelism() } = sources
  return Math.max(1, Math.floor(Math.min(parallelism, cgroupCores(root))))
}
