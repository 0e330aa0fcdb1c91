// What: the help texts of the command line, from the option table.
// Flow: option_schema -> this -> main, start.
// Thread: main.

import { nearest, unknownName } from '../config/check_option.ts'
import { flatKeys } from '../config/load_config.ts'
import {
  allowedOf,
  framingOptions,
  leaves,
  type OptionSpec,
  serverOptions,
} from '../config/option_schema.ts'
import { lengthPrefix } from '../framing/framing.ts'
import type { ListenerOptions } from '../server/options.ts'

/** Where `overlapped start` listens when nothing says otherwise. */
export const CLI_LISTENER: ListenerOptions = {
  host: '127.0.0.1',
  port: 9000,
  framing: lengthPrefix(),
}

/** Commands with what they do. */
export const commands = {
  start: 'Serve a handler module, or echo where none is given.',
  load: 'Load a server with clients that check every byte.',
  help: 'Show this text, or the flags of a command.',
} as const

export type Command = keyof typeof commands

/**
 * The command of that name.
 * @throws {OverlappedError} ERR_OPTION_UNKNOWN with the nearest known one.
 */
export function findCommand(name: string): Command {
  const known = Object.keys(commands)
  const found = known.find((command) => command === name)
  if (found !== undefined) return found as Command
  throw unknownName('a command', `'${name}'`, '', `'${nearest(name, known)}'`)
}

function flagLines(spec: OptionSpec): string[] {
  const value = spec.type === 'boolean' ? '[=true|false]' : ' VALUE'
  const fallback = spec.key === 'port' ? CLI_LISTENER.port : spec.default
  const suffix = fallback === undefined ? '' : `; default ${fallback}`
  return [`  --${spec.flag}${value}`, `      ${spec.doc}`, `      ${allowedOf(spec)}${suffix}`]
}

function startUsage(): string {
  const ofServer = leaves(serverOptions)
  const ofListener = (spec: OptionSpec) =>
    !ofServer.includes(spec) && !framingOptions.includes(spec)
  return [
    'Usage: overlapped start [HANDLER] [flags]',
    '',
    'Serves the handler module HANDLER (a path or a file: URL), or echo where none is given.',
    'Prints one line when it listens. SIGTERM and SIGINT stop it; a second one ends it at once.',
    'Exits with 0 when it was stopped, with 1 when it cannot start or a worker was lost, and with',
    '128 + the number of the signal after a second one.',
    'Options come from the file, then OVERLAPPED_... variables, then flags; the last one wins.',
    '',
    '  --config VALUE',
    '      JSON or INI file; its keys are the flags without dashes. Or OVERLAPPED_CONFIG.',
    '',
    'Listener:',
    ...flatKeys.filter(ofListener).flatMap(flagLines),
    '',
    'Framing:',
    ...flatKeys.filter((spec) => framingOptions.includes(spec)).flatMap(flagLines),
    '',
    'Server:',
    ...flatKeys.filter((spec) => ofServer.includes(spec)).flatMap(flagLines),
    '',
  ].join('\n')
}

/** Help of `overlapped start`, or of the whole command line; ends with a newline. */
export function usage(command?: 'start'): string {
  if (command === 'start') return startUsage()
  return [
    'Usage: overlapped COMMAND [flags]',
    '',
    ...Object.entries(commands).map(([name, about]) => `  ${name.padEnd(8)}${about}`),
    '',
    '  --help     Show this text, or the flags of a command.',
    '  --version  Show the version.',
    '',
  ].join('\n')
}
