#!/usr/bin/env node
// What: the command line: finds the command, prints errors, sets the exit code.
// Flow: the shell -> this -> start, load_cli, usage.
// Thread: main.

import { createRequire } from 'node:module'
import { OverlappedError } from '../errors.ts'
import { findCommand, usage } from './usage.ts'

function version(): string {
  // The package by its own name: the same from src/ and from dist/.
  const description = createRequire(import.meta.url)('overlapped/package.json')
  return (description as { version: string }).version
}

function asksHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h')
}

async function runLoadCommand(argv: string[]): Promise<number> {
  const { runLoad } = await import('../load/load_cli.ts')
  return runLoad(argv)
}

async function runStartCommand(argv: string[]): Promise<number> {
  if (asksHelp(argv)) {
    process.stdout.write(usage('start'))
    return 0
  }
  const { runStart } = await import('./start.ts')
  return runStart(argv)
}

async function runHelp(about: string | undefined): Promise<number> {
  const command = about === undefined ? 'help' : findCommand(about)
  if (command === 'load') return runLoadCommand(['--help'])
  process.stdout.write(command === 'start' ? usage('start') : usage())
  return 0
}

/** Runs a command line without its `node` and script; the exit code. */
async function run([name, ...argv]: string[]): Promise<number> {
  if (name === undefined) {
    process.stderr.write(usage())
    return 1
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  if (name === '--help' || name === '-h') return runHelp(undefined)
  const command = findCommand(name)
  if (command === 'start') return runStartCommand(argv)
  if (command === 'load') return runLoadCommand(argv)
  return runHelp(argv[0])
}

try {
  process.exitCode = await run(process.argv.slice(2))
} catch (error) {
  // Anything else is a bug, and keeps its stack.
  if (!(error instanceof OverlappedError)) throw error
  process.stderr.write(`overlapped: ${error.message}\n`)
  process.exitCode = 1
}
