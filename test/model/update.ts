// What: an update thread for models: production content over a job ring, in the native loop without a driver.
// Flow: as workers/update.ts wires it; native.ts in place of the addon.
// Thread: a model's update thread.

import type { Outbox } from '../../src/outbound/outbox.ts'
import { Sender } from '../../src/outbound/sender.ts'
import type { Handler } from '../../src/session/handler.ts'
import { PacketCursor } from '../../src/session/packet.ts'
import { ThreadRuntime } from '../../src/session/runtime.ts'
import { GroupTable } from '../../src/shared/group_table.ts'
import { ProtocolTable } from '../../src/shared/protocol_table.ts'
import type { SessionTable } from '../../src/shared/session_table.ts'
import { Content } from '../../src/update/content.ts'
import { RemoteDialler } from '../../src/update/remote_dialler.ts'
import { createUpdateTurn, type UpdateTurn } from '../../workers/update_turn.ts'
import { ModelDriver, NativeLoop } from './native.ts'
import { encoder, MAX_BACKPRESSURE } from './worker.ts'
import type { World } from './world.ts'

export class ModelUpdate {
  readonly sender: Sender<Outbox>
  readonly table: SessionTable
  readonly runtime: ThreadRuntime
  readonly content: Content
  readonly native: NativeLoop
  readonly #turn: UpdateTurn

  constructor(world: World, handler: Handler, maxBackpressure = MAX_BACKPRESSURE) {
    const thread = world.arena(0).plan.updateFirst
    const { arena, waker, table } = world.thread(thread)
    const sender = new Sender<Outbox>(arena, waker, table, true)
    const groups = new GroupTable(arena)
    const binding = { sessionAddress: () => ({ host: '', port: 0 }) }
    this.sender = sender
    this.table = table
    this.native = new NativeLoop(world, thread, new ModelDriver(world, thread, 0, () => {}))
    this.content = new Content({
      arena,
      waker,
      table,
      groups,
      sender,
      protocols: [{ name: 'model', encoder, handler }],
      binding,
      dialler: new RemoteDialler(arena, { dial: () => {}, giveUp: () => {} }, () => false),
      send: () => {},
    })
    this.runtime = new ThreadRuntime({
      arena,
      sender,
      table,
      groups,
      waker,
      protocols: new ProtocolTable(arena, [encoder]),
      names: ['model'],
      maxBackpressure,
      thread: 'update1',
      data: null,
      post: () => {},
      core: null,
      content: this.content,
      connect: null,
    })
    const packet = new PacketCursor(arena, null, (held) => this.runtime.retainPacket(held))
    this.content.attach(this.runtime, packet)
    this.#turn = createUpdateTurn({
      content: this.content,
      runtime: this.runtime,
      sender,
      waker,
      jobs: null,
    })
  }

  turn(): void {
    const updateTurn = this.#turn
    updateTurn.take()
    updateTurn.turn()
  }

  /** Sleeps and works for ever. */
  runBriefly(): void {
    for (;;) {
      this.native.sleepBriefly()
      this.native.checkAwake()
      this.turn()
    }
  }

  /** Works until nothing is left to do; whether there was anything. */
  rest(): boolean {
    if (!this.native.hasWork()) return false
    while (this.native.hasWork()) this.turn()
    return true
  }
}
