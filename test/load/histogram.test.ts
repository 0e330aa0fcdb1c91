// What: tests of the latency histogram.
// Flow: histogram -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { Histogram, latencyUnits } from '../../src/load/histogram.ts'

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.add(latencyUnits(value))
  return histogram
}

describe('Histogram', () => {
  it('is empty at first', () => {
    const histogram = new Histogram()
    expect(histogram.count).toBe(0)
    expect(histogram.maxMs).toBe(0)
    expect(histogram.percentile(50)).toBe(0)
  })

  it.each([0.0001, 0.0031, 0.0032, 0.0063, 0.0064, 0.05, 1, 3.7, 999, 5000, 200_000])(
    'finds %d ms again, within 3 percent',
    (value) => {
      const found = histogramOf([value, value, 214_000]).percentile(50)
      expect(Math.abs(found - value)).toBeLessThanOrEqual(value * 0.03 + 0.000_05)
    },
  )

  it('gives percentiles by rank', () => {
    const values = Array.from({ length: 1000 }, (_, at) => at + 1)
    const histogram = histogramOf(values)
    expect(histogram.count).toBe(1000)
    for (const percent of [0.1, 10, 50, 90, 99, 99.9]) {
      const expected = percent * 10
      const found = histogram.percentile(percent)
      expect(Math.abs(found - expected)).toBeLessThanOrEqual(expected * 0.03)
    }
    expect(histogram.percentile(100)).toBeLessThanOrEqual(1000)
    expect(histogram.maxMs).toBe(1000)
  })

  it('never says more than the largest value', () => {
    expect(histogramOf([1.01]).percentile(99.9)).toBeLessThanOrEqual(1.01)
  })

  it('takes what is out of range as the nearest that is not', () => {
    const histogram = histogramOf([-1, 10_000_000])
    expect(histogram.percentile(50)).toBe(0)
    expect(histogram.percentile(100)).toBeGreaterThan(200_000)
    expect(histogram.maxMs).toBeCloseTo(214_748.3647, 4)
  })

  it('merges into the same as one that got all values', () => {
    const merged = histogramOf([1, 2, 3])
    merged.merge(structuredClone(histogramOf([4, 500]).toData()))
    expect(merged.toData()).toEqual(histogramOf([1, 2, 3, 4, 500]).toData())
  })

  it('gives data that later values do not change', () => {
    const histogram = histogramOf([1])
    const data = histogram.toData()
    histogram.add(latencyUnits(2))
    expect(data).toEqual(histogramOf([1]).toData())
  })
})
