// What: medians, spreads and ratios of paired rounds.
// Flow: figures by round -> summary of one contestant, or of one ratio -> its text.
// Thread: the benchmark's own process.

/** { median, min, max, count } of the numbers that are there; undefined when there is none. */
export function summarize(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length === 0) return undefined
  const middle = sorted.length >> 1
  const odd = sorted.length % 2 === 1
  return {
    median: odd ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2,
    min: sorted[0],
    max: sorted[sorted.length - 1],
    count: sorted.length,
  }
}

/** The ratio of each round by itself: what drifts from round to round cancels. */
export function summarizeRatio(figures, baseFigures) {
  return summarize(figures.map((figure, round) => figure / baseFigures[round]))
}

/** The limit to compare with: the better of the contestants of that role, by median. */
export function betterOf(rows, lower) {
  const ranked = rows
    .filter((row) => row.summary)
    .sort((a, b) => (a.summary.median - b.summary.median) * (lower ? 1 : -1))
  return ranked[0]
}

/** "median (least..greatest)" of a summary. */
export function spread({ median, min, max }, format) {
  return `${format(median)} (${format(min)}..${format(max)})`
}

/** Three digits that mean something; whole numbers from 100 on. */
export function number(value) {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : value.toPrecision(3)
}
