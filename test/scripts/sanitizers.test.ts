// What: tests of which reports of a sanitizer are about the addon.
// Flow: scripts/sanitizers.mjs -> this.
// Thread: the test's.

import { describe, expect, it } from 'vitest'
import { ourReports } from '../../scripts/sanitizers.mjs'

const LINE = '=================='
const ours = (number: number, name = 'send') =>
  `    #${number} ${name} <null> (overlapped.node+0x28f0e)`
const bySource = (number: number) =>
  `    #${number} 0x7f in open_loop /a/native/napi/binding.cc:169`
const nodes = (number: number) =>
  `    #${number} uv__fs_open ../deps/uv/src/unix/fs.c:386 (node+0x18b)`
const runtime = (number: number) =>
  `    #${number} recv ../../../../src/libsanitizer/sanitizer_common/interceptors.inc:1 (libtsan.so+0x5)`

describe('ourReports', () => {
  const race = (first: string[], second: string[]) =>
    [
      LINE,
      'WARNING: ThreadSanitizer: data race (pid=1)',
      '  Read of size 8 at 0x1 by thread T1:',
      ...first,
      '',
      '  Previous write of size 8 at 0x1 by thread T2:',
      ...second,
      '',
      '  Thread T1 (tid=2, running) created by main thread at:',
      nodes(0),
      LINE,
    ].join('\n')

  it('has a race of the addon with itself, by whatever function', () => {
    expect(ourReports(race([runtime(0), ours(1)], [ours(0)]))).toHaveLength(1)
    expect(ourReports(race([bySource(0)], [runtime(0), ours(1), nodes(2)]))).toHaveLength(1)
  })

  it('has no race with code that is not instrumented', () => {
    expect(ourReports(race([runtime(0), ours(1)], [runtime(0), nodes(1)]))).toEqual([])
    expect(ourReports(race([nodes(0), ours(1)], [ours(0)]))).toEqual([])
    expect(ourReports(race([nodes(0)], [nodes(0)]))).toEqual([])
  })

  it('has every other report of ThreadSanitizer that the addon is in, and its own end', () => {
    const misuse = [
      LINE,
      'WARNING: ThreadSanitizer: unlock of an unlocked mutex',
      runtime(0),
      ours(1),
    ]
    expect(ourReports(misuse.join('\n'))).toHaveLength(1)
    expect(ourReports('FATAL: ThreadSanitizer: unexpected memory mapping')).toHaveLength(1)
  })

  it('has every memory error, wherever it is', () => {
    const error = `${LINE}====\n==1==ERROR: AddressSanitizer: heap-use-after-free\n${nodes(0)}`
    expect(ourReports(error)).toHaveLength(1)
    expect(ourReports('a.cc:1:2: runtime error: signed integer overflow')).toHaveLength(1)
  })

  it('has leaks of what the addon allocated, itself or by Node-API', () => {
    const leaks = (...stacks: string[][]) =>
      [
        `${LINE}====\n==1==ERROR: LeakSanitizer: detected memory leaks`,
        ...stacks.map((stack) => ['Direct leak of 8 byte(s) allocated from:', ...stack].join('\n')),
        'SUMMARY: AddressSanitizer: 8 byte(s) leaked in 1 allocation(s).',
      ].join('\n\n')
    const allocation =
      '    #0 0x7f in operator new(unsigned long) ../src/libsanitizer/asan/asan_new_delete.cpp:95'
    const api = '    #1 0xc5 in napi_create_reference (/usr/bin/node+0xc50f19)'
    const javaScript = '    #1 0xc5 in v8::internal::Map::CopyWithField (/usr/bin/node+0xc50f19)'
    expect(ourReports(leaks([allocation, bySource(1)]))).toHaveLength(1)
    expect(ourReports(leaks([allocation, api, bySource(2)], [allocation, ours(1)]))).toHaveLength(2)
    // JavaScript that runs in a turn is below a frame of the addon, too.
    expect(ourReports(leaks([allocation, javaScript, bySource(2)]))).toEqual([])
  })

  it('has nothing in what is no report', () => {
    expect(ourReports('')).toEqual([])
    expect(ourReports('ThreadSanitizer: reported 104 warnings')).toEqual([])
  })
})
