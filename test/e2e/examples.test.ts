// What: the programs in examples/, run as their README files say, and the code blocks of the docs, which are parts of them.
// Flow: examples/, README.md, docs/guide -> child processes, nc, node:net -> this.
// Thread: the test's; servers and nc are processes of their own.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig } from 'overlapped'
import { afterEach, describe, expect, it } from 'vitest'
import { Client } from '../helpers/e2e_client.ts'
import { CLOSED_PORT } from '../helpers/outbound_peer.ts'
import { requireTool } from '../helpers/require_tool.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** A child process whose output can be waited for. */
class Program {
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
  output = ''
  #seen = 0
  #changed = () => {}

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(program, args, { cwd: root, env: { ...process.env, ...env } })
    this.ended = once(this.child, 'close').finally(() => {
      programs.delete(this)
      this.#changed()
    })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
        this.#changed()
      })
    }
    // What a program that has ended does not read is no concern of ours.
    this.child.stdin?.on('error', () => {})
    programs.add(this)
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`)
  }

  /** Waits for `pattern` behind what earlier calls found. */
  async reads(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output.slice(this.#seen))
      if (match !== null) {
        this.#seen += match.index + match[0].length
        return match
      }
      if (!programs.has(this)) throw new Error(`ended without ${pattern}:\n${this.output}`)
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    this.child.kill(signal)
    await this.ends()
  }

  /** It has ended by itself, as it should. */
  async ends(): Promise<void> {
    await this.ended
    expect(this.child.exitCode).toBe(0)
  }
}

const programs = new Set<Program>()

afterEach(() => {
  for (const { child } of programs) child.kill('SIGKILL')
})

const run = (path: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) =>
  new Program(process.execPath, [join(root, 'examples', path), ...args], { PORT: '0', ...env })

async function portOf(server: Program, name = 'listening on'): Promise<number> {
  return Number((await server.reads(new RegExp(`${name} 127\\.0\\.0\\.1:(\\d+)`)))[1])
}

describe('examples/echo', () => {
  it('echoes', async () => {
    const server = run('echo/server.mjs')
    const client = await Client.connect(await portOf(server))
    client.write('\0\x05hello')
    expect((await client.take(7)).toString()).toBe('\0\x05hello')
    client.end()
    await server.stop()
  })
})

describe('examples/files', () => {
  it('keeps notes by jobs', async () => {
    const server = run('files/server.mjs')
    const port = await portOf(server)
    const client = await Client.connect(port)
    const asks = async (line: string, answer: string) => {
      client.write(`${line}\n`)
      expect((await client.take(answer.length + 1)).toString()).toBe(`${answer}\n`)
    }
    await asks('milk', 'note 1')
    await asks('bread', 'note 2')
    await asks('list', 'milk, bread')
    client.end()
    await server.stop()
  })
})

/** Main's broadcast and what its worker sends have no order between them. */
const joinedOf = (name: string) =>
  new RegExp(
    `\\* ${name} joined\\n\\* Welcome, ${name}\\.|\\* Welcome, ${name}\\.[^\\n]*\\n\\* ${name} joined\\n`,
  )

describe.skipIf(!requireTool('nc', 'apt-get install -y netcat-openbsd'))('examples/chat', () => {
  async function serve(): Promise<{ server: Program; join: (name: string) => Promise<Program> }> {
    const server = run('chat/server.mjs', [], { WORKERS: '2' })
    const port = await portOf(server)
    const enter = async (name: string) => {
      const person = new Program('nc', ['127.0.0.1', String(port)])
      await person.reads(/\* Your nickname\?\n/)
      person.say(name)
      return person
    }
    return { server, join: enter }
  }

  it('lets two people talk who are on different workers', async () => {
    const { server, join: enter } = await serve()
    const ann = await enter('ann')
    await ann.reads(joinedOf('ann'))
    const bob = await enter('bob')
    await bob.reads(joinedOf('bob'))
    await ann.reads(/\* bob joined\n/)
    ann.say('hello, bob')
    await bob.reads(/^ann: hello, bob\n/m)
    bob.say('hello, ann')
    await ann.reads(/^ann: hello, bob\nbob: hello, ann\n/m)
    bob.say('/who')
    await bob.reads(/\* here: ann, bob\n/)
    bob.say('/quit')
    await bob.reads(/\* Bye\.\n/)
    await bob.ended
    await ann.reads(/\* bob left \((localClose|closeTimeout)\)\n/)
    await server.stop()
  })

  it('keeps nicknames unique across workers, and frees them', async () => {
    const { server, join: enter } = await serve()
    const ann = await enter('ann')
    await ann.reads(/Welcome, ann/)
    const other = await enter('ANN')
    await other.reads(/\* Somebody has that nickname\. Your nickname\?\n/)
    for (const name of ['', 'two words', 'x'.repeat(21)]) {
      other.say(name)
      await other.reads(/\* A nickname has 1 to 20 letters, digits, - or _\. Your nickname\?\n/)
    }
    ann.child.kill()
    await ann.ended
    // Nobody is in the room who would hear that the nickname is free: asked until it is.
    for (;;) {
      other.say('Ann')
      const [, answer] = await other.reads(/\* (Somebody|Welcome)/)
      if (answer === 'Welcome') break
    }
    expect(other.output).not.toContain('left')
    await server.stop()
  })

  it('refuses long lines and ends who sends longer ones', async () => {
    const { server, join: enter } = await serve()
    const ann = await enter('ann')
    await ann.reads(/Welcome, ann/)
    const bob = await enter('bob')
    await bob.reads(/Welcome, bob/)
    bob.say('x'.repeat(501))
    await bob.reads(/\* A line has at most 500 characters; nobody saw yours\.\n/)
    bob.say('')
    bob.say('\x1b[2Jbold')
    await ann.reads(/^bob: \[2Jbold\n/m)
    bob.say('x'.repeat(10_000))
    await bob.ended
    await ann.reads(/\* bob left \(frameTooLong\)\n/)
    expect(ann.output).not.toContain('xxx')
    await server.stop()
  })
})

describe('examples/guide', () => {
  it('serves three protocols', async () => {
    const server = run('guide/server.mjs')
    const linesPort = await portOf(server, 'lines')
    const lobbyPort = await portOf(server, 'lobby')
    const sourcePort = await portOf(server, 'source')

    const lines = await Client.connect(linesPort)
    lines.write('a line\r\n')
    expect((await lines.take(18)).toString()).toBe('hello\r\n1: a line\r\n')

    const first = await Client.connect(lobbyPort)
    const second = await Client.connect(lobbyPort)
    const welcome = '\x07\0\0\0welcome'
    for (const client of [first, second]) {
      expect((await client.take(11)).toString()).toBe(welcome)
    }
    first.write('\x07\0\0\0anyone?')
    expect((await first.take(10)).toString()).toBe('\x06\0\0\0told 1')
    const told = await second.take(19)
    expect(told.readUInt32LE(0)).toBe(15)
    expect(told.readDoubleLE(4)).toBeGreaterThan(0)
    expect(told.subarray(12).toString()).toBe('anyone?')

    const source = await Client.connect(sourcePort)
    source.write('go')
    const zeros = await source.take(256 * 16_384)
    expect(zeros.every((byte) => byte === 0)).toBe(true)

    for (const client of [lines, first, second, source]) client.end()
    const stopped = server.reads(/stopped\n/)
    await server.stop('SIGTERM')
    await stopped
  })

  it('connects out', async () => {
    const server = run('echo/server.mjs')
    const port = await portOf(server)
    const client = run('guide/client.mjs', ['127.0.0.1', String(port)])
    await client.reads(/^ping\n/)
    await client.ends()
    await server.stop()
    const refused = run('guide/client.mjs', ['127.0.0.1', String(CLOSED_PORT)])
    await refused.reads(/^ERR_CONNECT_REFUSED\n/)
    await refused.ends()
  })

  it('connects out without a listener or a declared protocol', async () => {
    // Used twice: below those that the system gives to whoever asks for any.
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = run('echo/server.mjs', [], { PORT: String(port) })
    await portOf(server)
    const client = run('guide/outbound.mjs', ['127.0.0.1', String(port)])
    await client.reads(/^ping\n/)
    await client.ends()
    await server.stop()
    const refused = run('guide/outbound.mjs', ['127.0.0.1', String(CLOSED_PORT)])
    await refused.reads(/^ERR_CONNECT_REFUSED: connect\(\): 127\.0\.0\.1:\d+ was not reached/)
    await refused.ends()
    const again = run('guide/outbound.mjs', ['127.0.0.1', String(port), 'again'])
    await again.reads(/attempt 1: ERR_CONNECT_REFUSED, again in \d+ ms\n/)
    const second = run('echo/server.mjs', [], { PORT: String(port) })
    await portOf(second)
    await again.reads(/^ping 1$/m)
    await again.ends()
    await second.stop()
  })

  it('has rooms across workers', async () => {
    const server = run('guide/rooms_server.mjs')
    const port = await portOf(server)
    const people: Client[] = []
    const hears = async (person: number, line: string) =>
      expect((await people[person].take(line.length + 1)).toString()).toBe(`${line}\n`)
    for (let person = 0; person < 4; person++) {
      people.push(await Client.connect(port))
      people[person].write('/join lobby\n')
      await hears(person, person < 3 ? 'joined' : 'full')
    }
    people[0].write('hello\n')
    for (const other of [1, 2]) await hears(other, 'lobby: hello')
    server.child.kill('SIGHUP')
    for (const member of [0, 1, 2]) await hears(member, 'lobby: 3 of 3 are here')
    people[1].write('/leave lobby\n/join attic\n')
    await hears(1, 'joined')
    people[3].write('/join lobby\n')
    await hears(3, 'joined')
    people[2].end()
    for (const member of [0, 3]) await hears(member, 'lobby: bye')
    people[1].end()
    expect((await people[1].rest()).length).toBe(0)
    await server.stop()
  })

  it.each(['update', 'send'])('runs a world in update threads, mode %s', async (MODE) => {
    const server = run('guide/world_server.mjs', [], { MODE })
    const people = [
      await Client.connect(await portOf(server, 'north')),
      await Client.connect(await portOf(server, 'south')),
    ]
    /** Ticks may come between. */
    const hears = async (person: number, line: string) => {
      for (let heard = ''; heard !== `${line}\n`; ) {
        heard = ''
        while (!heard.endsWith('\n')) heard += (await people[person].take(1)).toString()
      }
    }
    people[0].write('a\nb\nc\n')
    await hears(0, 'update1: 3 steps')
    people[1].write('a\n')
    await hears(1, 'update2: 1 steps')
    people[0].write('go update2\n')
    await hears(0, '3 steps, now in update2')
    people[1].write('b\n')
    for (const person of [0, 1]) await hears(person, 'update2: 2 steps')
    people[0].write('d\n')
    for (const person of [0, 1]) await hears(person, 'update2: 3 steps')
    await server.stop()
  })

  it('has the same server in both kinds of file', () => {
    const load = (name: string) => loadConfig({ file: join(root, 'examples/guide', name) })
    const options = load('server.ini')
    expect(load('server.json')).toEqual(options)
    expect(options.listeners?.map(({ name }) => name)).toEqual(['lines', 'lobby'])
    expect(options.listeners?.[0].framing).toMatchObject({ kind: 'delimiter', bytes: [13, 10] })
  })
})

describe('code blocks', () => {
  const files = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(mjs|ini|json)$/.test(path))
    .map((path) => readFileSync(join(root, 'examples', path), 'utf8'))
  // Where a text is indented does not matter; empty lines do not either.
  const squeeze = (text: string) => text.replaceAll(/\n\s*/g, '\n').trim()
  const programsText = files.map(squeeze)

  it.each([
    'README.md',
    'docs/guide/getting_started.md',
    'docs/guide/outbound.md',
    'docs/guide/groups.md',
    'docs/guide/jobs.md',
    'docs/guide/choosing_a_mode.md',
  ])('of %s are parts of examples', (page) => {
    const blocks = [
      ...readFileSync(join(root, page), 'utf8').matchAll(/^```(?:js|ini|json)\n([\s\S]*?)^```/gm),
    ]
    expect(blocks.length).toBeGreaterThan(0)
    for (const [, block = ''] of blocks) {
      // A line `// server.mjs` begins a file.
      for (const part of block.split(/^\/\/ \w+\.mjs\n/m)) {
        const isPart = programsText.some((text) => text.includes(squeeze(part)))
        expect(isPart, part).toBe(true)
      }
    }
  })
})
