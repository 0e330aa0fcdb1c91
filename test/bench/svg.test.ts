// What: tests of the charts: well-formed, figures where they belong, spreads, gaps, names that need escaping.
// Flow: charts -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { barChart, lineChart, short } from '../../bench/lib/svg.mjs'

interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly text: string
}

/** All elements; throws where tags do not close in order or an attribute has no quotes. */
function elementsOf(svg: string): Element[] {
  const elements: (Element & { text: string })[] = []
  const open: string[] = []
  const token = /<(\/?)([a-z]+)((?:\s+[A-Za-z0-9:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)|(<)/gy
  for (const [whole, slash, name, attributes, closed, text, wrong] of svg.matchAll(token)) {
    if (wrong !== undefined) throw new Error(`not well-formed: ${svg.slice(svg.indexOf(whole))}`)
    if (text !== undefined) {
      if (text.trim() !== '') (elements.at(-1) as { text: string }).text += text
      expect(text).not.toMatch(/&(?!amp;|lt;|gt;|quot;)/)
    } else if (slash === '/') {
      expect(open.pop()).toBe(name)
    } else {
      const pairs = [...attributes.matchAll(/([A-Za-z0-9:-]+)="([^"]*)"/g)]
      const entries = pairs.map(([, key, value]) => [key, value] as const)
      elements.push({ name, attributes: Object.fromEntries(entries), text: '' })
      if (closed === '') open.push(name)
    }
  }
  expect(open).toEqual([])
  return elements
}

const named = (svg: string, name: string) => elementsOf(svg).filter((one) => one.name === name)
const texts = (svg: string) => named(svg, 'text').map(({ text }) => text)
const numbers = (elements: readonly Element[], key: string) =>
  elements.map(({ attributes }) => Number(attributes[key]))

const chart = {
  title: 'A title',
  x: { label: 'size', places: ['64 B', '1 KiB', '4 KiB'] },
  y: { label: 'µs' },
  series: [{ name: 'one', values: [1, 2, 4] }],
}

describe('lineChart', () => {
  it('has title, axes, places and names', () => {
    const found = texts(lineChart(chart))
    for (const text of ['A title', 'size', 'µs', '64 B', '1 KiB', '4 KiB', 'one', '0', '4'])
      expect(found).toContain(text)
  })

  it('puts figures in proportion, from left to right', () => {
    const marks = named(lineChart(chart), 'circle')
    const [first, second, third] = numbers(marks, 'cx')
    expect(second - first).toBeCloseTo(third - second, 0)
    const [low, middle, high] = numbers(marks, 'cy')
    // Twice the value is twice as far from the axis; y grows downwards.
    expect(middle - high).toBeCloseTo(2 * (low - middle), 0)
  })

  it('puts powers of ten at even distances where it is logarithmic', () => {
    const series = [{ name: 'one', values: [1, 10, 100] }]
    const heights = numbers(
      named(lineChart({ ...chart, y: { label: 'µs', log: true }, series }), 'circle'),
      'cy',
    )
    expect(heights[0] - heights[1]).toBeCloseTo(heights[1] - heights[2], 0)
  })

  it('stands what is not above 0 on a logarithmic axis', () => {
    const series = [{ name: 'one', values: [0, 10, 100] }]
    const svg = lineChart({ ...chart, y: { label: 'µs', log: true }, series })
    expect(svg).not.toMatch(/NaN|Infinity/)
    expect(Math.max(...numbers(named(svg, 'circle'), 'cy'))).toBe(
      numbers(named(svg, 'circle'), 'cy')[0],
    )
  })

  it('draws spreads, and leaves gaps', () => {
    const values = [{ median: 2, min: 1, max: 3 }, undefined, 4]
    const svg = lineChart({ ...chart, series: [{ name: 'one', values }] })
    expect(named(svg, 'circle')).toHaveLength(2)
    const [circle] = named(svg, 'circle')
    const spreads = named(svg, 'line').filter(
      ({ attributes }) => attributes.x1 === circle.attributes.cx,
    )
    expect(spreads).toHaveLength(1)
    const [{ attributes }] = spreads
    expect(Number(attributes.y1)).toBeGreaterThan(Number(circle.attributes.cy))
    expect(Number(attributes.y2)).toBeLessThan(Number(circle.attributes.cy))
  })

  it('gives each series a look of its own', () => {
    const series = Array.from({ length: 12 }, (_, i) => ({ name: `s${i}`, values: [i + 1] }))
    const lines = named(lineChart({ ...chart, series }), 'polyline')
    const groups = named(lineChart({ ...chart, series }), 'g')
    const looks = lines.map(
      ({ attributes }, i) => `${groups[i].attributes.stroke} ${attributes['stroke-dasharray']}`,
    )
    expect(new Set(looks).size).toBe(12)
  })

  it('escapes what it is given', () => {
    const svg = lineChart({ ...chart, title: 'a < b & "c"' })
    expect(texts(svg)).toContain('a &lt; b &amp; &quot;c&quot;')
  })

  it('is drawn where there is nothing to draw', () => {
    const svg = lineChart({ ...chart, series: [{ name: 'none', values: [undefined] }] })
    expect(named(svg, 'circle')).toEqual([])
    expect(svg).not.toMatch(/NaN|Infinity/)
  })

  it('gives the same text for the same figures', () => {
    expect(lineChart(chart)).toBe(lineChart(structuredClone(chart)))
  })
})

describe('barChart', () => {
  it('puts bars of a place side by side, as high as their figures', () => {
    const series = [
      { name: 'one', values: [1, 2] },
      { name: 'two', values: [2, 4] },
    ]
    const places = ['a', 'b']
    const svg = barChart({ ...chart, x: { label: 'x', places }, series })
    const bars = named(svg, 'rect').filter(({ attributes }) => attributes.stroke === 'none')
    const [oneA, oneB, twoA, twoB] = bars.map(({ attributes }) => ({
      left: Number(attributes.x),
      width: Number(attributes.width),
      height: Number(attributes.height),
      bottom: Number(attributes.y) + Number(attributes.height),
    }))
    expect(twoA.left).toBeGreaterThanOrEqual(oneA.left + oneA.width)
    expect(oneB.left).toBeGreaterThanOrEqual(twoA.left + twoA.width)
    expect(oneB.height).toBeCloseTo(2 * oneA.height, 0)
    expect(twoB.height).toBeCloseTo(4 * oneA.height, 0)
    for (const { bottom } of [oneB, twoA, twoB]) expect(bottom).toBeCloseTo(oneA.bottom, 0)
  })
})

describe('short', () => {
  it('writes numbers as people do', () => {
    expect([0, 0.25, 12, 1500, 2_000_000, 3e9].map(short)).toEqual([
      '0',
      '0.25',
      '12',
      '1.5 k',
      '2 M',
      '3 G',
    ])
  })
})
