// What: draws charts as SVG text: lines or bars over named places, with the spread of each figure.
// Flow: figures of an analysis -> lineChart, barChart -> a file beside its page.
// Thread: any; pure functions, the same figures give the same text.
//
// chart     { title, x, y, series }
// x         { label, places }: the places from left to right, as texts
// y         { label, log }: log for powers of ten; otherwise it begins at 0
// series    [{ name, values }]: for each place a number, { median, min, max }, or undefined where there is none

const WIDTH = 760
const HEIGHT = 400
const LEFT = 76
const RIGHT = 24
const TOP = 44
const BOTTOM = 64
const LEGEND_LINE = 18
const TICKS_WANTED = 6
const GLYPH_WIDTH = 6.6
const COLORS = [
  '#1b6ca8',
  '#c8442f',
  '#2e8b57',
  '#8a5fb0',
  '#b8860b',
  '#3aa6a6',
  '#7a4a2b',
  '#666666',
]
const DASHES = ['', '7 4', '2 3', '9 3 2 3']

/** A line for each series. */
export function lineChart(chart) {
  return draw(chart, (scale, series, index) => {
    const color = COLORS[index % COLORS.length]
    const dash = DASHES[Math.floor(index / COLORS.length) % DASHES.length]
    const points = series.values.flatMap((value, place) => {
      const figure = figureOf(value)
      return figure ? [{ x: scale.x(place), figure }] : []
    })
    const line = points.map(({ x, figure }) => `${round(x)},${round(scale.y(figure.median))}`)
    const marks = points.map(
      ({ x, figure }) => `<circle cx="${round(x)}" cy="${round(scale.y(figure.median))}" r="3"/>`,
    )
    return [
      `<g stroke="${color}" fill="${color}">`,
      `<polyline points="${line.join(' ')}" fill="none" stroke-width="2"${dash && ` stroke-dasharray="${dash}"`}/>`,
      ...points.map(({ x, figure }) => spreadLine(x, figure, scale)),
      ...marks,
      '</g>',
    ]
  })
}

/** Bars side by side at each place, one for each series. */
export function barChart(chart) {
  const { series: all } = chart
  return draw(chart, (scale, series, index) => {
    const width = (scale.step * 0.8) / all.length
    const color = COLORS[index % COLORS.length]
    const bars = series.values.flatMap((value, place) => {
      const figure = figureOf(value)
      if (!figure) return []
      const left = scale.x(place) - scale.step * 0.4 + width * index
      const top = scale.y(figure.median)
      return [
        `<rect x="${round(left)}" y="${round(top)}" width="${round(width * 0.92)}" height="${round(scale.bottom - top)}" stroke="none"/>`,
        spreadLine(left + width * 0.46, figure, scale, '#222222'),
      ]
    })
    return [`<g stroke="${color}" fill="${color}">`, ...bars, '</g>']
  })
}

/** { median, min, max } of a value; undefined where there is none. */
function figureOf(value) {
  if (typeof value === 'number') return figureOf({ median: value, min: value, max: value })
  return Number.isFinite(value?.median) ? value : undefined
}

function spreadLine(x, { min, max }, scale, color) {
  if (min === max) return ''
  const stroke = color === undefined ? '' : ` stroke="${color}"`
  return `<line x1="${round(x)}" y1="${round(scale.y(min))}" x2="${round(x)}" y2="${round(scale.y(max))}"${stroke}/>`
}

function draw({ title, x, y, series }, drawSeries) {
  const legend = legendOf(series)
  const top = TOP + legend.height
  const scale = scaleOf(x, y, series, top)
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT + legend.height}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="22" font-size="15" fill="#222222">${escaped(title)}</text>`,
    ...legend.lines,
    ...axes(x, y, scale, top),
    ...series.flatMap((one, index) => drawSeries(scale, one, index)),
    '</svg>',
  ]
    .filter(Boolean)
    .join('\n')}\n`
}

/** Names beside their colors, as many in a line as fit. */
function legendOf(series) {
  const lines = []
  let left = LEFT
  let row = 0
  series.forEach(({ name }, index) => {
    const width = 30 + name.length * GLYPH_WIDTH
    if (left > LEFT && left + width > WIDTH - RIGHT) {
      left = LEFT
      row++
    }
    const middle = TOP + row * LEGEND_LINE - 6
    const color = COLORS[index % COLORS.length]
    lines.push(
      `<rect x="${round(left)}" y="${middle - 5}" width="12" height="10" fill="${color}"/>`,
      `<text x="${round(left + 17)}" y="${middle + 4}" fill="#222222">${escaped(name)}</text>`,
    )
    left += width
  })
  return { lines, height: (row + 1) * LEGEND_LINE }
}

function scaleOf(x, y, series, top) {
  const bottom = HEIGHT + top - TOP - BOTTOM
  const step = (WIDTH - LEFT - RIGHT) / x.places.length
  const figures = series.flatMap(({ values }) => values.flatMap((value) => figureOf(value) ?? []))
  const ticks = y.log ? logTicks(figures) : evenTicks(figures)
  const place = y.log ? Math.log10 : (value) => value
  const [least, most] = [place(ticks[0]), place(ticks[ticks.length - 1])]
  return {
    bottom,
    step,
    ticks,
    x: (index) => LEFT + step * (index + 0.5),
    // What is below the axis of a logarithmic scale stands on it.
    y: (value) =>
      bottom - ((Math.max(place(value), least) - least) / (most - least)) * (bottom - top),
  }
}

/** From 0 to beyond the largest, in steps of 1, 2 or 5 times a power of ten. */
function evenTicks(figures) {
  const most = Math.max(0, ...figures.map(({ max }) => max)) || 1
  const rough = most / TICKS_WANTED
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * [1, 2, 5, 10].find((times) => times * power >= rough)
  const count = Math.ceil(most / step - 1e-9)
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)))
}

/** Powers of ten around all that is above 0. */
function logTicks(figures) {
  const positive = figures.flatMap(({ min, max }) => [min, max]).filter((value) => value > 0)
  const least = positive.length > 0 ? Math.floor(Math.log10(Math.min(...positive))) : 0
  const most = positive.length > 0 ? Math.ceil(Math.log10(Math.max(...positive))) : 1
  return Array.from({ length: Math.max(1, most - least) + 1 }, (_, i) => 10 ** (least + i))
}

function axes(x, y, scale, top) {
  const right = WIDTH - RIGHT
  const ticks = scale.ticks.flatMap((tick) => {
    const at = round(scale.y(tick))
    return [
      `<line x1="${LEFT}" y1="${at}" x2="${right}" y2="${at}" stroke="#dddddd"/>`,
      `<text x="${LEFT - 8}" y="${round(at + 4)}" text-anchor="end" fill="#444444">${escaped(short(tick))}</text>`,
    ]
  })
  const places = x.places.map(
    (text, index) =>
      `<text x="${round(scale.x(index))}" y="${scale.bottom + 18}" text-anchor="middle" fill="#444444">${escaped(text)}</text>`,
  )
  const middle = (top + scale.bottom) / 2
  return [
    ...ticks,
    `<line x1="${LEFT}" y1="${scale.bottom}" x2="${right}" y2="${scale.bottom}" stroke="#444444"/>`,
    ...places,
    `<text x="${(LEFT + right) / 2}" y="${scale.bottom + 42}" text-anchor="middle" fill="#222222">${escaped(x.label)}</text>`,
    `<text transform="translate(18 ${round(middle)}) rotate(-90)" text-anchor="middle" fill="#222222">${escaped(y.label)}</text>`,
  ]
}

/** 1500000 as 1.5 M. */
export function short(value) {
  const units = [
    [1e9, ' G'],
    [1e6, ' M'],
    [1e3, ' k'],
  ]
  for (const [size, unit] of units) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(4))}${unit}`
  }
  return String(Number(value.toPrecision(4)))
}

function round(value) {
  return Number(value.toFixed(1))
}

function escaped(text) {
  const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return String(text).replace(/[&<>"]/g, (character) => entities[character])
}
