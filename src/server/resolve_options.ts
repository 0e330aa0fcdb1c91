// What: checks the options of a server and fills in what is absent.
// Flow: the user's ServerOptions -> this (by option_schema) -> ResolvedOptions -> server, workers.
// Thread: main.

import { IO_URING_FEATURES, IOCP_FEATURES } from '../binding.ts'
import { refusal, show } from '../config/check_option.ts'
import {
  checkObject,
  checkProtocol,
  checkValues,
  handlerUrl,
  type Values,
} from '../config/check_protocol.ts'
import { listenerOptions, outboundOptions, serverOptions } from '../config/option_schema.ts'
import { WORKERS_MAX } from '../config/option_table.ts'
import { LISTENERS_MAX } from '../layout/layout.ts'
import { availableCores } from '../shared/cores.ts'
import type {
  IocpFeature,
  IoUringFeature,
  JobsOptions,
  Mode,
  ResolvedListener,
  ResolvedOptions,
  ResolvedProtocol,
  ServerOptions,
  UpdateOptions,
} from './options.ts'

function checkListeners(given: readonly unknown[], inherited: string | undefined): Values[] {
  return given.map((options, index) => {
    const label = `listeners[${index}]`
    checkObject(label, options)
    const values = checkValues(listenerOptions, options, `${label}.`)
    return checkProtocol({ ...values, name: values.name ?? `listener${index}` }, label, inherited)
  })
}

function checkOutbound(given: readonly unknown[], inherited: string | undefined): Values[] {
  return given.map((options, index) => {
    const label = `outbound[${index}]`
    checkObject(label, options)
    return checkProtocol(checkValues(outboundOptions, options, `${label}.`), label, inherited)
  })
}

function checkNames(listeners: readonly Values[], outbound: readonly Values[]): void {
  const total = listeners.length + outbound.length
  if (total > LISTENERS_MAX) {
    const label = 'the number of listeners and outbound protocols'
    throw refusal('ERR_OPTION_RANGE', label, total, `at most ${LISTENERS_MAX}`)
  }
  const taken = new Map<unknown, string>()
  const entries = [
    ...listeners.map(({ name }, index) => ({ name, label: `listeners[${index}].name` })),
    ...outbound.map(({ name }, index) => ({ name, label: `outbound[${index}].name` })),
  ]
  for (const { name, label } of entries) {
    const other = taken.get(name)
    if (other !== undefined) {
      throw refusal('ERR_OPTION_RANGE', label, name, `unique, and ${other} has the same`)
    }
    taken.set(name, label)
  }
}

/** Of a tick in which nothing is handled eagerly: a message is late by no more than this part of it. */
const RECEIVES_PER_TICK = 16
/** From here on there is little to gain: a look then finds what pays for it (guide, choosing a mode). */
const RECEIVE_INTERVAL_MAX_MS = 4

/**
 * 'auto' and 0 are one worker per available core, as far as a runtime has threads; one less where an update thread
 * is as busy as a core allows.
 */
function countWorkers(workers: unknown, mode: Mode): number {
  if (workers !== 'auto' && workers !== 0) return workers as number
  const kept = mode === 'worker' ? 0 : 1
  return Math.min(Math.max(1, availableCores() - kept), WORKERS_MAX)
}

/**
 * Update threads tick at the server's rate, unless they have one of their own; between ticks nothing is handled, so
 * workers may leave what comes for a small part of one.
 */
function resolveUpdate(update: UpdateOptions, serverTickRate: number): ResolvedOptions['update'] {
  const { tickRate = serverTickRate } = update
  const partMs = Math.floor(1000 / tickRate / RECEIVES_PER_TICK)
  const waitingMs = Math.min(Math.max(partMs, 1), RECEIVE_INTERVAL_MAX_MS)
  const { receiveInterval = update.eager ? 0 : waitingMs } = update
  return { ...update, tickRate, receiveInterval } as ResolvedOptions['update']
}

function resolveJobs(jobs: Required<JobsOptions>): NonNullable<ResolvedOptions['jobs']> {
  return { ...jobs, module: handlerUrl('jobs.module', jobs.module) }
}

function checkData(data: unknown): void {
  if (data === undefined) return
  try {
    structuredClone(data)
  } catch {
    const allowed = 'a value that structuredClone() can copy'
    throw refusal('ERR_OPTION_TYPE', 'data', data, allowed)
  }
}

function checkFeatures(label: string, given: readonly unknown[], features: object): void {
  const names = Object.keys(features)
  given.forEach((feature, index) => {
    if (names.includes(feature as string)) return
    const allowed = `one of ${names.map(show).join(', ')}`
    throw refusal('ERR_OPTION_RANGE', `${label}[${index}]`, feature, allowed)
  })
}

/**
 * Every option as it is in force: defaults filled in, `workers` counted, handlers as file: URLs
 * (relative paths start at process.cwd()), framings with the maxPayloadLength that holds.
 * @throws {OverlappedError} ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE, ERR_OPTION_RANGE: one sentence
 * that names the option, the value given and what is allowed.
 */
export function resolveOptions(options: ServerOptions): ResolvedOptions {
  checkObject('options', options)
  const { handler, jobs, ...values } = checkValues(serverOptions, options, '')
  checkData(values.data)
  const inherited = handler === undefined ? undefined : handlerUrl('handler', handler as string)
  const listeners = checkListeners((values.listeners ?? []) as unknown[], inherited)
  const outbound = checkOutbound((values.outbound ?? []) as unknown[], inherited)
  checkNames(listeners, outbound)
  const ioUringWithout = (values.ioUringWithout ?? []) as IoUringFeature[]
  checkFeatures('ioUringWithout', ioUringWithout, IO_URING_FEATURES)
  const iocpWithout = (values.iocpWithout ?? []) as IocpFeature[]
  checkFeatures('iocpWithout', iocpWithout, IOCP_FEATURES)
  return {
    ...(values as unknown as ResolvedOptions),
    handler: inherited,
    listeners: listeners as unknown as ResolvedListener[],
    outbound: outbound as unknown as ResolvedProtocol[],
    ioUringWithout,
    iocpWithout,
    workers: countWorkers(values.workers, values.mode as Mode),
    ...(jobs !== undefined && { jobs: resolveJobs(jobs as Required<JobsOptions>) }),
    update: resolveUpdate(values.update as UpdateOptions, values.tickRate as number),
  }
}
