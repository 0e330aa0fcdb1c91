// What: the analyses, in the order in which they run.
// Flow: analyses.mjs, tests -> this -> scenario/*.mjs.
// Thread: the benchmark's own process.

import { accept } from './accept.mjs'
import { batch } from './batch.mjs'
import { gather } from './gather.mjs'
import { pending } from './pending.mjs'
import { receive } from './receive.mjs'
import { zeroCopy } from './zero_copy.mjs'

export const analyses = [pending, zeroCopy, gather, batch, accept, receive]
