// What: jobs as content sees them: defineJobs, runtime.jobs, and the stand-in for it where there are none.
// Flow: jobs module -> this -> job threads; runtime -> this -> src/jobs.
// Thread: any.

import { OverlappedError } from '../errors.ts'
import type { Jobs, Runtime } from './handler.ts'

/**
 * What a job thread runs. A job that returns a promise counts as blocking until that settles. Arguments and results
 * are copied as v8.serialize() does: like structuredClone(), but without shared memory.
 */
export type Job<Args = never> = (args: Args, runtime: Runtime) => unknown

const BRAND = Symbol.for('overlapped.jobs')

/** Marks and types the default export of a jobs module: jobs by their names. */
export function defineJobs<Module extends Readonly<Record<string, Job>>>(jobs: Module): Module {
  return Object.assign({}, jobs, { [BRAND]: true })
}

/**
 * The jobs that a module exports.
 * @throws {OverlappedError} ERR_JOBS_SHAPE
 */
export function jobsOf(module: { default?: unknown }, url: string): ReadonlyMap<string, Job> {
  const jobs = module.default
  if (typeof jobs !== 'object' || jobs === null || !(BRAND in jobs)) {
    throw new OverlappedError(
      'ERR_JOBS_SHAPE',
      `${url} has no jobs; its default export must be made by defineJobs({ … })`,
    )
  }
  for (const [name, value] of Object.entries(jobs)) {
    if (typeof value === 'function') continue
    throw new OverlappedError(
      'ERR_JOBS_SHAPE',
      `${url} defines job ${name} as ${typeof value}; it must be a function`,
    )
  }
  return new Map(Object.entries(jobs as Record<string, Job>))
}

/** runtime.jobs of a thread that sleeps in the native loop, or in libuv. */
export interface ThreadJobs extends Jobs {
  /** Results that have come. */
  takeReplies(): void
  /** Nobody asks any more; what is on its way rejects. */
  leave(): void
}

/** runtime.jobs of a server without the option `jobs`. */
export const noJobs: Jobs = {
  run: () => Promise.reject(refused('run')),
  blocking: () => {
    throw refused('blocking')
  },
}

function refused(method: string): OverlappedError {
  return new OverlappedError(
    'ERR_SERVER_STATE',
    `jobs.${method}() was called in a server without job threads; its option jobs names their module`,
  )
}
