// What: a job thread: loads the jobs module and runs what is posted to the jobs' port until that is closed.
// Flow: boot -> this -> JobRunner.
// Thread: one job thread.

import { assert } from '../src/assert.ts'
import { loadBinding } from '../src/binding.ts'
import { OverlappedError } from '../src/errors.ts'
import { Encoder } from '../src/framing/encode.ts'
import { JobRunner } from '../src/jobs/job_runner.ts'
import { THREAD_THREAD_STATE, ThreadState } from '../src/layout/layout.ts'
import type { Outbox } from '../src/outbound/outbox.ts'
import { Sender } from '../src/outbound/sender.ts'
import type { FromWorker, WorkerBoot } from '../src/server/boot.ts'
import { type Job, jobsOf } from '../src/session/jobs.ts'
import { ThreadRuntime } from '../src/session/runtime.ts'
import { Arena } from '../src/shared/arena.ts'
import { store } from '../src/shared/atomics.ts'
import { GroupTable } from '../src/shared/group_table.ts'
import { ProtocolTable } from '../src/shared/protocol_table.ts'
import { SessionTable } from '../src/shared/session_table.ts'
import { threadName } from '../src/shared/thread_ids.ts'
import { Waker } from '../src/shared/waker.ts'

async function loadJobs(url: string): Promise<ReadonlyMap<string, Job>> {
  let module: { default?: unknown }
  try {
    module = (await import(url)) as { default?: unknown }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new OverlappedError('ERR_JOBS_LOAD', `the jobs module ${url} cannot be loaded: ${why}`, {
      cause,
    })
  }
  return jobsOf(module, url)
}

export async function runJobThread(
  boot: WorkerBoot,
  tell: (message: FromWorker) => void,
): Promise<void> {
  assert(boot.jobs !== null, 'a job thread is told where its jobs are')
  const jobs = await loadJobs(boot.jobs.module)
  const binding = loadBinding()
  const arena = new Arena(binding, boot.memories, boot.thread)
  const waker = new Waker(arena, binding)
  const table = new SessionTable(arena, waker)
  const runner = new JobRunner(arena, waker, boot.jobs.port, jobs, () => tell({ type: 'bell' }))
  const runtime = new ThreadRuntime({
    arena,
    sender: new Sender<Outbox>(arena, waker, table, false),
    table,
    waker,
    groups: new GroupTable(arena),
    protocols: new ProtocolTable(
      arena,
      boot.protocols.map(({ framing }) => new Encoder(framing)),
    ),
    names: boot.protocols.map(({ name }) => name),
    maxBackpressure: boot.options.maxBackpressure,
    thread: threadName(arena.plan, boot.thread),
    data: boot.options.data,
    post: (to, message) => tell({ type: 'post', to, message }),
    core: null,
    content: null,
    connect: null,
    jobs: runner,
  })
  const stateAt = arena.threadAt(boot.thread) + THREAD_THREAD_STATE
  store(arena.words, stateAt, ThreadState.RUNNING)
  tell({ type: 'ready' })
  try {
    await runner.runAll(runtime)
  } finally {
    store(arena.words, stateAt, ThreadState.GONE)
    runner.leave()
  }
}
