// What: tests of how far a broadcast has come.
// Flow: broadcast_progress -> this.
// Thread: main.

import { describe, expect, it } from 'vitest'
import { BroadcastProgress } from '../../src/load/broadcast_progress.ts'

describe('progress', () => {
  it('is what every client has got', () => {
    const progress = new BroadcastProgress(4, 1)
    progress.add(0, 3)
    expect(progress.advance(2)).toBe(false)
    progress.add(0, 2)
    expect(progress.advance(2)).toBe(true)
    expect(progress.completed).toBe(2)
    expect(progress.completedByAll).toBe(2)
    expect(progress.advance(2)).toBe(false)
  })

  it('goes round its ring', () => {
    const progress = new BroadcastProgress(2, 1)
    for (let sent = 2; sent <= 20; sent += 2) {
      for (let client = 0; client < 3; client++) progress.add(sent - 2, sent)
      expect(progress.advance(3)).toBe(true)
      expect(progress.completed).toBe(sent)
    }
  })

  it('does not wait for who is gone, and does not count what it had got', () => {
    const progress = new BroadcastProgress(4, 1)
    progress.add(0, 3)
    progress.add(0, 1)
    expect(progress.advance(2)).toBe(true)
    progress.remove(3)
    expect(progress.advance(1)).toBe(false)
    progress.add(1, 2)
    expect(progress.advance(1)).toBe(true)
    expect(progress.completed).toBe(2)
  })

  it('does not advance without clients', () => {
    expect(new BroadcastProgress(4, 1).advance(0)).toBe(false)
  })

  it('is of all workers what the slowest has', () => {
    const progress = new BroadcastProgress(4, 3)
    progress.add(0, 3)
    progress.advance(1)
    expect(progress.completedByAll).toBe(0)
    progress.hear(1, 5)
    progress.hear(2, 2)
    expect(progress.completedByAll).toBe(2)
    progress.hear(2, 9)
    expect(progress.completedByAll).toBe(3)
  })
})
