// What: models of the node pool: one thread allocates, others give back.
// Flow: node_pool -> this -> protocols.test.ts.
// Thread: a model's threads.

import {
  NODE_BLOCK,
  NODE_LENGTH,
  NODE_OFFSET,
  THREAD_NODE_RETURN_HEAD,
} from '../../../src/layout/layout.ts'
import { push, takeAll } from '../../../src/shared/link_stack.ts'
import { NodePool } from '../../../src/shared/node_pool.ts'
import type { Scenario } from '../explore.ts'
import { check, waitWhile } from '../ops.ts'
import { World } from '../world.ts'

const NODES = 2

/** The owner hands `count` nodes to each consumer; it has only NODES at a time. */
function nodes(name: string, consumers: number, count: number): Scenario {
  const world = new World({ workers: 2, nodesPerThread: NODES })
  const { words } = world
  return {
    name,
    invariants: ['NODE-1', 'SENDLIST-4'],
    words,
    build() {
      world.reset()
      const pool = new NodePool(world.arena(1))
      const returnHead = world.arena(1).threadAt(1) + THREAD_NODE_RETURN_HEAD
      const out = new Set<number>()
      let consumed = 0
      const allocate = (value: number) => {
        let node = pool.allocate(value, value + 1, value + 2)
        while (node === 0) {
          waitWhile(words, returnHead, 0)
          node = pool.allocate(value, value + 1, value + 2)
        }
        return node
      }
      const consume = (consumer: number, thread: number) => {
        const mine = new NodePool(world.arena(thread))
        for (let left = count; left > 0; ) {
          waitWhile(words, world.outside(consumer), 0)
          let node = takeAll(words, world.outside(consumer))
          while (node !== 0) {
            const at = mine.at(node)
            const next = words[at]
            const value = words[at + NODE_OFFSET]
            check(
              words[at + NODE_LENGTH] === value + 1 && words[at + NODE_BLOCK] === value + 2,
              'STACK-1: contents come with the node',
            )
            check(out.delete(value), 'SENDLIST-1: a node is on one list')
            mine.free(node)
            node = next
            consumed++
            left--
          }
        }
      }
      const threads: Record<string, () => void> = {
        owner() {
          for (let i = 0; i < count * consumers; i++) {
            const value = 100 + i
            const node = allocate(value)
            check(node > NODES && node <= 2 * NODES, 'a node is of the thread that has it')
            out.add(value)
            push(words, world.outside(i % consumers), pool.at(node), node)
          }
        },
        first() {
          consume(0, 0)
        },
      }
      if (consumers > 1) {
        threads.second = () => {
          consume(1, 2)
        }
      }
      return {
        threads,
        check() {
          check(consumed === count * consumers && out.size === 0, 'NODE-1: each was taken once')
          let free = 0
          while (pool.allocate(0, 0, 0) !== 0) free++
          check(free === NODES, `NODE-1: ${free} of ${NODES} nodes are free`)
        },
      }
    },
  }
}

export const scenarios: readonly Scenario[] = [
  nodes('nodes: given back by one thread, used again', 1, 4),
  nodes('nodes: given back by two threads', 2, 2),
]
