// What: the tables: figures, ratios, and how busy both sides were.
// Flow: outcomes of all runs -> summarizeCases -> markdown and JSON.
// Thread: the benchmark's own process.

import { markdownTable } from './markdown.mjs'
import { betterOf, number, spread, summarize, summarizeRatio } from './statistics.mjs'

/** One entry per case, with a row per contestant: figures by round, summary, ratios, failures. */
export function summarizeCases(outcomes) {
  return outcomes.map(({ benchCase, runs }) => {
    const { name, unit, figure, scale, lower } = benchCase
    const rows = runs.map(({ contestant, rounds }) => {
      const figures = rounds.map((round) =>
        round.failure ? Number.NaN : round.result[figure] * scale,
      )
      const of = (field) =>
        summarize(rounds.map((round) => round.result?.[field] ?? Number.NaN))?.median
      return {
        name: contestant.name,
        role: contestant.role,
        base: contestant.base,
        figures,
        summary: summarize(figures),
        perSecond: of('msgs_s'),
        p50Us: of('p50_us'),
        p99Us: of('p99_us'),
        serverUtilization: of('server_utilization'),
        clientUtilization: of('client_utilization'),
        otherCpus: of('other_cpus'),
        foreignPercent: of('foreign_percent'),
        failures: rounds.flatMap((round) => round.failure ?? []),
      }
    })
    const limit = betterOf(
      rows.filter((row) => row.role === 'limit'),
      lower,
    )
    const peers = rows.filter((row) => row.role === 'peer' && row.summary)
    for (const row of rows) {
      row.ratios = basesOf(row, rows, limit, peers)
        .filter(Boolean)
        .map((base) => ({
          to: base.name,
          role: base.role,
          ...summarizeRatio(row.figures, base.figures),
        }))
        .filter((ratio) => ratio.count > 0)
    }
    return { name, unit, lower, limit: limit?.name, rows }
  })
}

/** Limits have none; a peer has the limit, ours has the peers too, and the same driver's workers alone. */
function basesOf(row, rows, limit, peers) {
  if (row.role === 'limit') return []
  if (row.role === 'peer') return [limit]
  return [limit, ...peers, rows.find(({ name }) => name === row.base)]
}

export function markdownReport({ at, machine, options, missing, cases }) {
  return [
    '# Benchmark',
    '',
    `${at}. ${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}. ` +
      `${options.rounds} interleaved rounds of ${options.seconds} s.`,
    ...missing.map((name) => `\n**${name}** did not take part.`),
    '',
    '## Figures: median (least..greatest)',
    '',
    ...figureTable(cases),
    '',
    '`per second`: what the figure counts, by wall time. There the client and the noise of the ' +
      'machine have their part.',
    ...shareList(cases),
    '',
    '## Ratios of each round, as above',
    '',
    'To the better C limit of the case, to node:net, and to our own server where workers do all. ' +
      'Above 1 is better than it, except where less is better.',
    '',
    ...ratioTable(cases),
    '',
    '## How busy: shares of a core',
    '',
    'A figure per CPU second counts what the server used; one that sleeps often also pays for ' +
      'waking. `other` is what the rest of the machine took: noise.',
    '',
    ...busyTable(cases),
    ...failureList(cases),
    '',
  ].join('\n')
}

function eachRow(cases, toCells) {
  return cases.flatMap((entry) =>
    entry.rows.filter((row) => row.summary).map((row) => toCells(entry, row)),
  )
}

function figureTable(cases) {
  return markdownTable(
    2,
    ['case', 'server', 'figure', 'unit', 'per second', 'p50 / p99 µs'],
    eachRow(cases, (entry, row) => [
      entry.name,
      row.name,
      spread(row.summary, number),
      entry.unit + (entry.lower ? ' (less is better)' : ''),
      row.perSecond === undefined ? '' : number(row.perSecond),
      row.p50Us === undefined ? '' : `${number(row.p50Us)} / ${number(row.p99Us)}`,
    ]),
  )
}

function ratioTable(cases) {
  const toRole = (row, role) =>
    row.ratios
      .filter((ratio) => ratio.role === role)
      .map((ratio) => `${spread(ratio, (value) => value.toFixed(2))} of ${ratio.to}`)
      .join('<br>')
  const rows = eachRow(cases, (entry, row) => [
    entry.name + (entry.lower ? ' (less is better)' : ''),
    row.name,
    toRole(row, 'limit'),
    toRole(row, 'peer'),
    toRole(row, 'ours'),
  ])
  return markdownTable(
    2,
    ['case', 'server', 'to the C limit', 'to node:net', 'to ours with workers alone'],
    rows.filter(([, , ...ratios]) => ratios.some(Boolean)),
  )
}

function busyTable(cases) {
  const share = (value) => (value === undefined ? '' : value.toFixed(2))
  return markdownTable(
    2,
    ['case', 'server', 'server', 'client', 'other'],
    eachRow(cases, (entry, row) => [
      entry.name,
      row.name,
      share(row.serverUtilization),
      share(row.clientUtilization),
      share(row.otherCpus),
    ]),
  )
}

/** What the servers counted in the cases of answers to another worker's sessions. */
function shareList(cases) {
  const lines = eachRow(cases, (entry, row) =>
    row.foreignPercent === undefined
      ? []
      : `- ${entry.name}, ${row.name}: ${number(row.foreignPercent)} %`,
  ).flat()
  const head = 'Answers that went to a session of the other worker, by the count of the server:'
  return lines.length > 0 ? ['', head, '', ...lines] : []
}

function failureList(cases) {
  const lines = cases.flatMap((entry) =>
    entry.rows.flatMap((row) =>
      row.failures.map((failure) => `- ${entry.name}, ${row.name}: ${failure}`),
    ),
  )
  return lines.length > 0 ? ['', '## Failures', '', ...lines] : []
}
