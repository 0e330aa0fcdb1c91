// What: starts peers that misbehave (test/native/abuse_client.c, built once per process), and reads what they saw.
// Flow: tests -> this -> a child process -> a server under test -> its report -> tests.
// Thread: the test's; children.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'

/**
 * storm: resets at a random byte; hold: silent; blast: sends for ever; echo: healthy, one message at a time;
 * hit: one after the other, a byte and a reset right behind it.
 */
export type AbuseMode = 'storm' | 'hold' | 'blast' | 'echo' | 'hit'

export interface AbuseReport {
  readonly opened: number
  readonly connected: number
  /** Streams that the server ended, and connections that it reset. */
  readonly fins: number
  readonly resets: number
  /** Wrong bytes. */
  readonly faults: number
  readonly sent: number
  readonly received: number
  /** echo: messages answered, by peer. */
  readonly answered: readonly number[]
}

/** Long waits of a storm on a machine that does other things; nothing passes because of it. */
const PATIENCE_MS = 60_000

let program = ''

function built(): string {
  if (program !== '') return program
  const folder = mkdtempSync(join(tmpdir(), 'overlapped-abuse-'))
  process.on('exit', () => rmSync(folder, { recursive: true }))
  const source = fileURLToPath(new URL('../native/abuse_client.c', import.meta.url))
  program = join(folder, 'abuse_client')
  execFileSync(process.env.CC || 'cc', ['-O1', '-o', program, source])
  return program
}

const running = new Set<Abuse>()

/** A process full of peers. */
export class Abuse {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  #wake = () => {}
  readonly #ended: Promise<void>
  #isEnded = false

  /** Options of the C program: count, at_once, waits, size, reads, burst, rcvbuf, partial, limit_pid, spare, seed. */
  constructor(mode: AbuseMode, port: number, options: Readonly<Record<string, number>>) {
    const flags = Object.entries(options).map(([name, value]) => `${name}=${value}`)
    this.#child = spawn(built(), [mode, String(port), ...flags], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    running.add(this)
    // It may have ended by itself before it is told to.
    this.#child.stdin?.on('error', () => {})
    let rest = ''
    this.#child.stdout?.on('data', (data) => {
      const lines = (rest + data).split('\n')
      rest = lines.pop() as string
      this.#lines.push(...lines)
      this.#wake()
    })
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', () => {
        this.#isEnded = true
        running.delete(this)
        this.#wake()
        resolve()
      })
    })
  }

  /** The first line that begins so. */
  async #line(start: string): Promise<string> {
    const until = Date.now() + PATIENCE_MS
    for (;;) {
      const found = this.#lines.find((line) => line.startsWith(start))
      if (found !== undefined) return found
      if (this.#isEnded) throw new Error(`the peers ended without '${start}'`)
      if (Date.now() > until) throw new Error(`the peers did not say '${start}'`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PATIENCE_MS)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Every peer is connected, if not yet a session; echo, and the first wave of a storm: every peer was answered. */
  async ready(): Promise<void> {
    await this.#line('ready')
  }

  /** Lets a storm begin that waits for it when it is ready. */
  go(): void {
    this.#child.stdin?.write('go\n')
  }

  /** Lifts the limit that limit_pid lowered. */
  restoreLimit(): void {
    this.#child.stdin?.write('restore\n')
  }

  /** Resets every connection. */
  async drop(): Promise<void> {
    this.#child.stdin?.write('drop\n')
    await this.#line('dropped')
  }

  /** Its report when it has ended by itself. */
  async report(): Promise<AbuseReport> {
    const line = await this.#line('opened=')
    await this.#ended
    const fields = new Map(line.split(' ').map((part) => part.split('=') as [string, string]))
    const count = (name: string) => Number(fields.get(name))
    return {
      opened: count('opened'),
      connected: count('connected'),
      fins: count('fins'),
      resets: count('resets'),
      faults: count('faults'),
      sent: count('sent'),
      received: count('received'),
      answered: (fields.get('answered') ?? '').split(',').filter(Boolean).map(Number),
    }
  }

  /** Ends it; its connections are closed by the system. */
  end(): Promise<AbuseReport> {
    this.#child.stdin?.end()
    return this.report()
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** To be called once by a test file: peers that a test left behind are killed. */
export function endAbuseAfterEach(): void {
  afterEach(() => {
    for (const abuse of running) abuse.kill()
  })
}
