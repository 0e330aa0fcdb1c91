// What: tests of the explorer itself: what it counts, and that it finds what is planted.
// Flow: rewritten text -> program of one module -> explore.ts -> this.
// Thread: main.

import type { SourceMapPayload } from 'node:module'
import { transformWithOxc } from 'vite'
import { describe, expect, it } from 'vitest'
import { type ExploreOptions, explore, type Model, type Scenario } from './explore.ts'
import { makeProgram } from './program.ts'
import { refuse } from './refuse.ts'
import { certain, readModule, suspending } from './transform.ts'

const PATH = 'test/model/planted.ts'

/** Threads as text; `words` is theirs, `end` runs after them. */
function planted(threads: Record<string, string>, end = ''): Scenario {
  const text = `
    import { load, store, add, exchange, compareExchange, wait, notify } from '../../src/shared/atomics.ts'
    import { waitWhile, awaitEdge, check } from './ops.ts'
    const words = new Int32Array(8)
    const seen = []
    function twice(index) { add(words, index, 1); return add(words, index, 1) }
    export const scenario = {
      name: 'planted', invariants: [], words,
      build() {
        words.fill(0)
        seen.length = 0
        return {
          threads: { ${Object.entries(threads)
            .map(([name, body]) => `${name}() { ${body} }`)
            .join(', ')} },
          outcome: () => words.join() + ' ' + seen.join(),
          check() { ${end} },
        }
      },
    }`
  const module = readModule(PATH, text)
  const ops = readModule(
    'test/model/ops.ts',
    'export function check(is, message) { if (!is) throw new Error(message) }',
  )
  const modules = new Map([
    ['test/model/ops.ts', ops],
    [PATH, module],
  ])
  const names = suspending([...modules.values()])
  const sure = certain([...modules.values()], names)
  return makeProgram({ modules, names, sure, builtins: new Map(), emitted: new Map() }).exportsOf(
    PATH,
  ).scenario
}

const run = (scenario: Scenario, options: ExploreOptions = {}) => {
  const outcomes = new Set<string>()
  return { ...explore(scenario, { outcomes, ...options }), outcomes }
}

describe('what is counted', () => {
  const apart = planted({
    a: 'add(words, 0, 1); add(words, 0, 1)',
    b: 'add(words, 1, 1); add(words, 1, 1); add(words, 1, 1)',
  })
  const same = planted({ a: 'seen.push(add(words, 0, 1)); twice(0)', b: 'twice(0)' })

  it('every interleaving in full: 5 over 2', () => {
    expect(run(apart, { isFull: true })).toMatchObject({ schedules: 10, violation: null })
    expect(run(same, { isFull: true })).toMatchObject({ schedules: 10, violation: null })
  })

  it('one schedule of what commutes, all of what does not', () => {
    expect(run(apart)).toMatchObject({ schedules: 1, violation: null })
    expect(run(same)).toMatchObject({ schedules: 10, violation: null })
  })

  it('loads commute, a store between them does not', () => {
    const loads = planted({ a: 'load(words, 0)', b: 'load(words, 0)' })
    expect(run(loads).schedules).toBe(1)
    const threads = { a: 'load(words, 0)', b: 'load(words, 0)', c: 'store(words, 0, 1)' }
    expect(run(planted(threads)).schedules).toBe(4)
    expect(run(planted(threads), { isFull: true }).schedules).toBe(6)
  })

  it('has a bound that is an error', () => {
    expect(() => run(same, { schedulesMax: 3 })).toThrow('more than 3 schedules')
  })
})

describe('what is found', () => {
  const message = (scenario: Scenario, options?: ExploreOptions) =>
    run(scenario, options).violation?.message

  it('a lost update, in one order of many', () => {
    const body = 'const before = load(words, 0); store(words, 0, before + 1)'
    const lost = planted({ a: body, b: body }, "check(load(words, 0) === 2, 'lost')")
    expect(message(lost)).toBe('lost')
    const kept = planted(
      { a: 'add(words, 0, 1)', b: 'add(words, 0, 1)' },
      "check(load(words, 0) === 2, 'lost')",
    )
    expect(message(kept)).toBe(undefined)
  })

  it('a wait that nobody ends', () => {
    const body = (mine: number, other: number) =>
      `waitWhile(words, ${mine}, 0); store(words, ${other}, 1)`
    expect(message(planted({ a: body(0, 1), b: body(1, 0) }))).toContain('deadlock: a, b')
  })

  it('a sleep that nobody ends, although the word has changed', () => {
    const sleeper = 'while (load(words, 0) === 0) wait(words, 0, 0, 10); seen.push(1)'
    const told = planted({ a: sleeper, b: 'store(words, 0, 1); notify(words, 0, 1)' })
    expect(run(told)).toMatchObject({ violation: null })
    const untold = planted({ a: sleeper, b: 'store(words, 0, 1)' })
    expect(message(untold)).toContain('deadlock: a')
    const early = planted({ a: sleeper, b: 'notify(words, 0, 1); store(words, 0, 1)' })
    expect(message(early)).toContain('deadlock: a')
    // One of two is woken, the one that slept first.
    const two = { a: 'wait(words, 0, 0, 10)', b: 'wait(words, 0, 0, 10)' }
    expect(message(planted({ ...two, c: 'notify(words, 0, 1)' }))).toContain('deadlock')
    const woken = 'add(words, 0, 1); notify(words, 0, 2)'
    expect(message(planted({ ...two, c: woken }))).toBe(undefined)
  })

  it('an edge that is taken twice', () => {
    const scenario = planted({
      a: 'awaitEdge(words, 0)',
      b: 'awaitEdge(words, 0)',
      c: 'store(words, 0, 1); store(words, 0, 1)',
    })
    expect(message(scenario)).toContain('deadlock')
  })

  it('a race between plain accesses, and none where an atomic orders them', () => {
    const reader = 'if (load(words, 0) === 1) seen.push(words[1])'
    const ordered = planted({ a: 'words[1] = 5; store(words, 0, 1)', b: reader })
    expect(run(ordered)).toMatchObject({ violation: null })
    expect([...run(ordered).outcomes].sort()).toEqual(['1,5,0,0,0,0,0,0 ', '1,5,0,0,0,0,0,0 5'])
    const late = planted({ a: 'store(words, 0, 1); words[1] = 5', b: reader })
    expect(message(late)).toContain('race: ')
    const step = 'load(words, 2); '
    const never = planted({ a: `${step}words[1] = 5`, b: `${step}words[1] = 6` })
    expect(message(never)).toContain('race: ')
    const mixed = planted({ a: `${step}words[1] = 5`, b: 'load(words, 1)' })
    expect(message(mixed)).toContain('race: ')
  })

  it('what an assertion says, with the operations before it', () => {
    const scenario = planted({ a: "add(words, 0, 1); check(words[1] === 1, 'told')", b: '' })
    const { violation } = run(scenario)
    expect(violation?.message).toBe('told')
    expect(violation?.trace).toContain('a: ')
  })

  it('a thread that goes round for ever', () => {
    expect(
      message(planted({ a: 'while (load(words, 0) === 0) {}', b: 'load(words, 1)' })),
    ).toContain('come to rest')
  })

  it('more threads than a model has', () => {
    const threads = Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((name) => [name, '']))
    expect(message(planted(threads))).toContain('at most 4 threads')
  })
})

describe('what is rewritten', () => {
  const build = (text: string): Model => planted({ a: text }).build()

  it('calls are suspended wherever they stand', () => {
    const scenario = planted({
      a: `
        const inner = (index) => twice(index) + 1
        const box = { take(index) { return inner(index) } }
        seen.push(box.take(0), [twice(1)].length, box?.take(2))
        words[3] = words[0] + twice(4)
        try { seen.push(exchange(words, 5, 7)) } finally { compareExchange(words, 5, 7, 8) }
      `,
    })
    expect(run(scenario)).toMatchObject({ schedules: 1, violation: null })
    expect([...run(scenario).outcomes]).toEqual(['2,2,2,3,2,8,0,0 2,1,2,0'])
  })

  it('what cannot be suspended says so when it is called', () => {
    const scenario = planted({ a: '[0].forEach(() => twice(0))' })
    expect(run(scenario).violation?.message).toContain('it is not in any model')
  })

  it.each([
    ['[twice][0](0)', 'what is called has no name'],
    ['(0, twice)(0)', 'what is called has no name'],
    ['const box = { twice() { return twice(0) } }; box["twi" + "ce"]()', 'has no name'],
    ['twice.call(null, 0)', 'what is called has another name'],
    ['const later = twice; later(0)', 'gets another name'],
    ['let later; later = twice; later(0)', 'gets another name'],
    ['const box = { later: twice }; box.later(0)', 'gets another name'],
    ['const all = [twice]; for (const each of all) each(0)', 'gets another name'],
    ['const box = { twice }; box.twice(0)', "only 'twice' is known"],
    ['const { take } = { take() { twice(0) } }; take()', "only '.take' is known"],
    ['[0].forEach(twice)', 'is an argument'],
    ['[0].forEach(load)', 'is an argument'],
    ['twice`0`', 'a tag is called without brackets'],
    ['const box = { ["take"]() { twice(0) } }', 'has a computed name'],
    ['class Box { at = twice(0) }', 'the call is in no function'],
    ['const take = (at = twice(0)) => at; take()', "the call is in a parameter's default"],
    ['function take({ at = load(words, 0) }) { return at }; take({})', "in a parameter's default"],
    ['const box = { take(at = [twice(0)]) { return at } }; box.take()', "in a parameter's default"],
  ])('what would be passed on unseen is refused: %s', (text, reason) => {
    // The thread stands on line 13 of the module.
    const place = `^${PATH}:13: .*${reason.replace(/[.()]/g, '\\$&')}`
    expect(() => build(text)).toThrow(new RegExp(place))
  })

  it('places are those of the source, which may have lines that are gone', async () => {
    const source = '// One.\ninterface Gone {\n  readonly at: number\n}\nconst f = [][0]()\n'
    const { code, map } = await transformWithOxc(source, 'planted.ts')
    const module = readModule('planted.ts', code, map as unknown as SourceMapPayload)
    expect(() => refuse(module, new Set(), new Set())).toThrow('planted.ts:5: ')
  })

  it('what touches shared words in a way that is not known is refused', () => {
    expect(() => build('words[0]++')).toThrow('++ on shared words')
    expect(() => build('words[0] += 1')).toThrow('+= on shared words')
  })
})
