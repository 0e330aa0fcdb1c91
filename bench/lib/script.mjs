// What: what the scripts of the benchmark have in common: where things are, what they run on, their end by a signal.
// Flow: run.mjs, allocation.mjs, syscalls.mjs -> this.
// Thread: the script's.

import { mkdirSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { killStartedProcesses } from './processes.mjs'

export const benchFolder = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
export const rootFolder = path.dirname(benchFolder)
export const resultsFolder = path.join(benchFolder, 'results')
/** Every single run, and the words of the servers; not kept. */
export const rawFolder = path.join(resultsFolder, 'raw')
export const logFile = path.join(rawFolder, 'servers.log')

mkdirSync(rawFolder, { recursive: true })

/** What figures belong to. */
export function machineFacts() {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: os.availableParallelism(),
    kernel: `Linux ${os.release()}`,
    node: process.versions.node,
  }
}

/** A script that is ended ends what it has started. */
export function endStartedOnSignal() {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      killStartedProcesses()
      process.exit(1)
    })
  }
}
