// What: tests of the preflight: one sentence with a command per missing thing, exit code 1.
// Flow: scripts/preflight.mjs, also as a child with a PATH of stubs -> this.
// Thread: the test's.

import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inspect, isAtLeast, packageManager, parseVersion } from '../../scripts/preflight.mjs'

const script = fileURLToPath(new URL('../../scripts/preflight.mjs', import.meta.url))
const DEBIAN = 'NAME="Debian GNU/Linux"\nID=debian\n'

/** What each stub prints; all succeed. */
const STUBS: Readonly<Record<string, string>> = {
  npm: '11.0.0',
  'c++': '',
  cmake: 'cmake version 3.25.1',
  make: 'GNU Make 4.3',
}

let folder = ''

function stub(name: string, output: string, exitCode = 0): void {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\necho '${output}'\nexit ${exitCode}\n`)
  chmodSync(path, 0o755)
}

function stubAllBut(...missing: string[]): void {
  for (const [name, output] of Object.entries(STUBS)) {
    if (!missing.includes(name)) stub(name, output)
  }
}

function run(args: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const child = spawnSync(process.execPath, [script, ...args], {
    env: { PATH: folder, ...env },
    encoding: 'utf8',
  })
  return { code: child.status, lines: child.stderr.split('\n').slice(0, -1), out: child.stdout }
}

function machine(change: Partial<Parameters<typeof inspect>[0]> = {}) {
  return inspect({
    platform: 'linux',
    nodeVersion: '20.17.0',
    env: { PATH: folder },
    kernel: '6.1.0-13-amd64',
    osRelease: DEBIAN,
    isRoot: true,
    ...change,
  })
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'overlapped-preflight-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('as a child', () => {
  it('is quiet when everything is there', () => {
    stubAllBut()
    expect(run()).toEqual({ code: 0, lines: [], out: '' })
  })

  it('prints what it found with --verbose', () => {
    stubAllBut()
    const { code, out } = run(['--verbose'])
    expect(code).toBe(0)
    expect(out).toContain(`Node: ${process.versions.node}\n`)
    expect(out).toContain(`CMake: ${join(folder, 'cmake')}, 3.25.1\n`)
  })

  it('names everything that an empty PATH lacks, one line each', () => {
    const { code, lines, out } = run()
    expect(code).toBe(1)
    expect(out).toBe('')
    expect(lines).toHaveLength(4)
    expect(lines[0]).toMatch(/^overlapped: npm is missing: .*\bnpm/)
    expect(lines[1]).toMatch(/^overlapped: a C\+\+ compiler is missing: ./)
    expect(lines[2]).toMatch(/^overlapped: CMake 3\.15 or newer is missing: .*cmake/)
    expect(lines[3]).toMatch(/^overlapped: make or ninja is missing: .*make/)
  })

  it.each([
    ['npm', /npm is missing/],
    ['c++', /a C\+\+ compiler is missing/],
    ['cmake', /CMake 3\.15 or newer is missing/],
    ['make', /make or ninja is missing/],
  ])('names %s when it alone is missing', (name, sentence) => {
    stubAllBut(name)
    const { code, lines } = run()
    expect(code).toBe(1)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(sentence)
  })

  it('takes the compiler that CXX names, with its flags', () => {
    stubAllBut('c++')
    stub('my-compiler', '')
    expect(run([], { CXX: 'my-compiler -m64' }).code).toBe(0)
    const { code, lines } = run([], { CXX: 'no-compiler' })
    expect(code).toBe(1)
    expect(lines[0]).toContain('CXX is no-compiler, which is not on PATH')
  })

  it('does not take a folder or a file without the execute bit for a tool', () => {
    stubAllBut('make')
    mkdirSync(join(folder, 'make'))
    writeFileSync(join(folder, 'ninja'), '')
    expect(run().lines).toHaveLength(1)
  })
})

describe('inspect', () => {
  beforeEach(() => stubAllBut())

  it('finds nothing missing on a good machine', () => {
    expect(machine()).toMatchObject({ missing: [], notes: [] })
  })

  it('leaves the tools of Windows to cmake-js', () => {
    const good = machine({ platform: 'win32', nodeVersion: '20.17.0' })
    expect(good.missing).toEqual([])
    expect(good.notes).toEqual([expect.stringContaining('docs/guide/windows.md')])
    const old = machine({ platform: 'win32', nodeVersion: '18.0.0' })
    expect(old.missing).toEqual(['Node is 18.0.0, 20.17 or newer is needed'])
  })

  it.each(['darwin', 'freebsd'])('refuses %s', (platform) => {
    expect(machine({ platform }).missing).toEqual([
      expect.stringContaining(`${platform} is not supported`),
    ])
  })

  it.each(['12.22.12', '18.20.0', '20.16.9'])('refuses Node %s', (nodeVersion) => {
    expect(machine({ nodeVersion }).missing).toEqual([
      expect.stringMatching(`^Node is ${nodeVersion}, 20\\.17 or newer is needed: nvm install`),
    ])
  })

  it.each(['20.17.0', '22.0.0', '26.1.0'])('takes Node %s', (nodeVersion) => {
    expect(machine({ nodeVersion }).missing).toEqual([])
  })

  it('refuses an old CMake', () => {
    stub('cmake', 'cmake version 3.10.2')
    expect(machine().missing).toEqual([
      'CMake is 3.10.2, 3.15 or newer is needed: apt-get update && apt-get install -y cmake',
    ])
  })

  it('refuses a compiler without C++20', () => {
    stub('c++', '', 1)
    expect(machine().missing).toEqual([expect.stringContaining('does not compile C++20')])
  })

  it('only notes a kernel without io_uring', () => {
    const { missing, notes } = machine({ kernel: '5.15.0-91-generic' })
    expect(missing).toEqual([])
    expect(notes).toEqual([expect.stringContaining('epoll')])
  })

  it.each([
    ['ID=debian', true, 'apt-get update && apt-get install -y cmake'],
    ['ID=ubuntu', false, 'sudo apt-get update && sudo apt-get install -y cmake'],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"', false, 'sudo dnf install -y cmake'],
    ['ID=alpine', true, 'apk add cmake'],
    ['ID=other', true, 'install cmake with your package manager'],
    ['', true, 'install cmake with your package manager'],
  ])('names the command of the system: %s', (osRelease, isRoot, command) => {
    rmSync(join(folder, 'cmake'))
    expect(machine({ osRelease, isRoot }).missing).toEqual([
      `CMake 3.15 or newer is missing: ${command}`,
    ])
  })
})

it('reads versions and systems', () => {
  expect(parseVersion('6.18.44-fc')).toEqual([6, 18])
  expect(parseVersion('none')).toEqual([0, 0])
  expect(isAtLeast([5, 19], [5, 19])).toBe(true)
  expect(isAtLeast([5, 18], [5, 19])).toBe(false)
  expect(isAtLeast([6, 0], [5, 19])).toBe(true)
  expect(packageManager('ID=linuxmint\nID_LIKE="ubuntu debian"')).toBe('apt-get')
  expect(packageManager('VERSION_ID=debian')).toBe(undefined)
})
