// What: what the relay handlers counted: whether the answers went where the case says.
// Flow: the server's words -> sum over its workers -> outcome with the share, or a failure.
// Thread: the benchmark's own process.

/** With 50 % the client keeps the halves equal, but for what is in flight when a run ends. */
const TOLERANCE_PERCENT = 1

/**
 * The outcome of a relay run with `foreign_percent` in its result: the answers that went to a session
 * of another worker. It fails when that is not the share that was asked for.
 */
export function withShare(outcome, words, foreignPercent) {
  const counts = [...words.matchAll(/^relayed (.*)$/gm)].map(([, json]) => JSON.parse(json))
  const sum = (place) => counts.reduce((total, count) => total + count[place], 0)
  const share = (100 * sum('foreign')) / (sum('foreign') + sum('own')) // NaN where nobody counted.
  const result = outcome.result && { ...outcome.result, foreign_percent: share }
  if (Math.abs(share - foreignPercent) < TOLERANCE_PERCENT) return { ...outcome, result }
  const why = `${share} % of the answers went to the other worker, not ${foreignPercent} %`
  return { ...outcome, result, failure: [outcome.failure, why].filter(Boolean).join('; ') }
}
