// What: makes the reference page of the options.
// Flow: option_schema -> this -> docs/reference/options.md (test/config writes it with -u).
// Thread: main.

import {
  allowedOf,
  connectOptions,
  fileKeyOf,
  framingOptions,
  listenerOptions,
  type OptionSpec,
  outboundOptions,
  serverOptions,
} from './option_schema.ts'

function row(spec: OptionSpec): string {
  const fallback = spec.required ? 'required' : (spec.default ?? '')
  const shown = fallback === '' || spec.required ? fallback : `\`${fallback}\``
  const fileKey = fileKeyOf(spec)
  const names = [
    fileKey === '' ? '' : `\`${spec.type === 'nested' ? `[${fileKey}]` : fileKey}\``,
    spec.flag === '' ? '' : `\`--${spec.flag}\`, \`${spec.env}\``,
  ]
  const only = spec.framings === undefined ? '' : ` Only of ${spec.framings.join(', ')}.`
  const reason = 'reason' in spec && spec.reason !== undefined ? spec.reason : ''
  const cells = [`\`${spec.key}\``, `${spec.doc}${only}`, allowedOf(spec), shown, ...names, reason]
  return `| ${cells.join(' | ')} |`
}

function section(title: string, about: string, specs: readonly OptionSpec[]): string {
  return [
    `## ${title}`,
    '',
    about,
    '',
    '| option | meaning | allowed | default | file | flag, environment | reason of the limits |',
    '|---|---|---|---|---|---|---|',
    ...specs.map(row),
    '',
  ].join('\n')
}

function nestedSection(spec: OptionSpec): string {
  const { key, options = [] } = spec
  const place = `the section \`[${fileKeyOf(spec)}]\``
  return section(`Server: ${key}`, `In \`${key}: { … }\`; in a file, ${place}.`, options)
}

/** Text of docs/reference/options.md. */
export function optionsPage(): string {
  return [
    '# Options',
    '',
    'Generated from src/config/option_table.ts by `npx vitest run test/config -u`; do not edit.',
    '',
    'Later ones win: defaults, code, file, environment, flags. A file is JSON or INI, by its',
    'extension; its keys are the flags without dashes. Sections `[listener.NAME]` and',
    '`[outbound.NAME]` (in JSON `{"listener": {"NAME": {}}}`) hold the keys of one listener or',
    'outbound protocol. Keys of a listener outside a section, flags and environment change the',
    'only listener there is. Options that are objects have a section of their name (in JSON',
    '`{"groups": {"max": 10}}`), and flags that begin with it (`--groups-max`).',
    '',
    section('Server', 'Given to `createServer()`.', serverOptions),
    ...serverOptions.filter(({ type }) => type === 'nested').map(nestedSection),
    section('Listener', 'Each of `listeners`.', listenerOptions),
    section('Outbound protocol', 'Each of `outbound`.', outboundOptions),
    section(
      'connect()',
      'Given to `runtime.connect()`; `protocol` names an outbound protocol instead of the first six.',
      connectOptions,
    ),
    section('Framing', 'In files, flags and environment; code calls a function.', framingOptions),
  ].join('\n')
}
