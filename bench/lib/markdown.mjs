// What: Markdown tables, and how figures are written in them.
// Flow: figures -> this -> lines of a report or of a page.
// Thread: the benchmark's own process.

/** The lines of a table; the first `texts` columns are texts, the others numbers. */
export function markdownTable(texts, heads, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  const rule = heads.map((_, i) => (i < texts ? '---' : '---:'))
  return [line(heads), line(rule), ...rows.map(line)]
}

/** 1024 as 1 KiB. */
export function sizeName(bytes) {
  if (bytes >= 2 ** 20) return `${bytes / 2 ** 20} MiB`
  return bytes >= 1024 && bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} B`
}
