// What: bugs of the package, one of each class, as a change of one place in the built JavaScript.
// Flow: this -> thread_hooks.mjs plants one in every thread -> planted_bugs.test.ts.
// Thread: any.

/**
 * By name: what class of bug it is, and in which file which text becomes which. The text is there exactly once. `aim`: the
 * worlds that it needs, where they are few.
 * @typedef {{ what: string, aim?: 'content elsewhere' | 'sends elsewhere', file: string, find: string, replace: string }} PlantedBug
 */
/** @type {Readonly<Record<string, PlantedBug>>} */
export const plantedBugs = {
  flagClearedLate: {
    what: 'the send flag is cleared after the list was taken',
    file: 'src/outbound/sender.js',
    find: "assert(clear(words, at + SESSION_SEND_FLAG), 'FLUSH-2: a slot on the flush stack is held');\n            this.#takeShared(outbox);",
    replace: 'this.#takeShared(outbox);\n            clear(words, at + SESSION_SEND_FLAG);',
  },
  linkReadLate: {
    what: 'the link of the flush stack is read after the list was taken',
    file: 'src/outbound/sender.js',
    find: 'this.#takeShared(outbox);',
    replace: 'this.#takeShared(outbox); entry = words[at + SESSION_FLUSH_LINK];',
  },
  flagCountKept: {
    what: 'the count that came with a flag is not dropped',
    file: 'src/outbound/sender.js',
    find: "assert(!release(words, at + SESSION_IO_COUNT), 'IOCOUNT-5: our own count is still there');",
    replace: ';',
  },
  flagCountDroppedTwice: {
    what: 'the count that came with a flag is dropped twice',
    file: 'src/outbound/sender.js',
    find: "assert(!release(words, at + SESSION_IO_COUNT), 'IOCOUNT-5: our own count is still there');",
    replace: '{ release(words, at + SESSION_IO_COUNT); release(words, at + SESSION_IO_COUNT); }',
  },
  flagCountNotAdopted: {
    what: 'a count that came with a flag after the base had gone is not noted as ours',
    file: 'src/outbound/sender.js',
    find: 'if (!outbox.counted)\n                outbox.counted = true;',
    replace: 'if (!outbox.counted)\n                ;',
  },
  notTakenInFlight: {
    what: 'the list is not taken while a send is in flight',
    file: 'src/outbound/sender.js',
    find: 'this.#takeShared(outbox);',
    replace: 'if (outbox.flightFirst === 0) this.#takeShared(outbox);',
  },
  sentWhileWaiting: {
    what: 'a second send is submitted while one waits for room',
    file: 'src/outbound/sender.js',
    find: 'else if (outbox.waiting)\n            this.#pressure.keepWaiting(outbox);\n        else',
    replace: 'else',
  },
  mergedCountedTwice: {
    what: 'bytes of a broadcast that makes the waiting slice longer are counted twice',
    file: 'src/outbound/sender.js',
    find: 'words[last + NODE_LENGTH] = lastLength + length;\n                outbox.bufferedBytes += length;',
    replace:
      'words[last + NODE_LENGTH] = lastLength + length;\n                outbox.bufferedBytes += 2 * length;',
  },
  mergedWithGap: {
    what: 'a broadcast makes a slice longer that it does not lie behind',
    file: 'src/outbound/sender.js',
    find: 'words[last + NODE_BLOCK] === block && words[last + NODE_OFFSET] + lastLength === offset',
    replace: 'words[last + NODE_BLOCK] === block',
  },
  flagCountNotTaken: {
    what: "another thread's flag takes no count",
    file: 'src/outbound/hand_over.js',
    find: 'retain(words, at + SESSION_IO_COUNT);\n        this.giveToSender(slot);',
    replace: 'this.giveToSender(slot);',
  },
  listNotReversed: {
    what: 'a list of other threads goes out newest first',
    file: 'src/outbound/sender.js',
    find: 'words[nodeAt] = oldest;\n            oldest = node;',
    replace: 'if (oldest === 0) oldest = node;',
  },
  shortSendWhole: {
    what: 'a short send is treated as whole',
    file: 'src/outbound/sender.js',
    find: '!failed && taken === outbox.flightBytes',
    replace: '!failed && taken > 0',
  },
  foreignBytesKept: {
    what: 'bytes of other threads are not settled',
    file: 'src/outbound/pressure.js',
    find: 'sub(this.#words, outbox.at + SESSION_QUEUED_BYTES, settled) - settled;',
    replace: '0;',
  },
  nodeLeaked: {
    what: 'a sent node is not given back',
    file: 'src/outbound/references.js',
    find: 'this.#nodes.free(node);',
    replace: '',
  },
  chunkReferenceKept: {
    what: 'the last reference on a chunk is not settled',
    file: 'src/outbound/references.js',
    find: 'this.settle();\n            this.#dropChunk = block;',
    replace: 'this.#dropCount = 0;\n            this.#dropChunk = block;',
  },
  sliceReferenceNotTaken: {
    what: 'a slice of a receive buffer takes no reference on it',
    file: 'src/outbound/references.js',
    find: 'this.#buffers.retainReceiveBuffer(-2 - block);',
    replace: '{}',
  },
  zeroCopyDroppedEarly: {
    what: 'a gather that the kernel reads where it lies is given back at the result of its send',
    file: 'src/outbound/zero_copy.js',
    find: 'if (isNotified && taken > 0) {',
    replace: 'if (isNotified && taken > 1e9) {',
  },
  zeroCopyKept: {
    what: 'a gather is not given back at its notification',
    file: 'src/outbound/sender.js',
    find: 'this.#references.releaseNodes(this.#zeroCopy.takeHeld(outbox, number, isCopied));',
    replace: 'this.#zeroCopy.takeHeld(outbox, number, isCopied);',
  },
  lastNotificationIgnored: {
    what: 'the last notification of a session does not go on with its end',
    file: 'src/outbound/sender.js',
    find: 'if (outbox.notifications === 0 && !outbox.sending)',
    replace: 'if (outbox.notifications === -1)',
  },
  releasedBeforeNotification: {
    what: 'a session is released although the kernel reads memory that it sent',
    file: 'src/outbound/sender.js',
    find: 'this.#isAtRest(outbox) && outbox.notifications === 0;',
    replace: 'this.#isAtRest(outbox);',
  },
  refusedLost: {
    what: 'a gather for which zero copy was refused is not sent again',
    file: 'src/outbound/sender.js',
    find: 'this.#takeBack(outbox);',
    replace: 'this.#dropFlight(outbox);',
  },
  wakeLost: {
    what: 'a parked thread is not signalled',
    file: 'src/shared/waker.js',
    find: 'THREAD_PARKED, 0) === 1',
    replace: 'THREAD_PARKED, 0) === 2',
  },
  wakeNotMarked: {
    what: 'the last pin goes, and the owner is not woken',
    file: 'src/shared/session_table.js',
    find: 'this.#waker.mark(owner);',
    replace: '',
  },
  generationNotCompared: {
    what: 'a pin does not compare the generation',
    file: 'src/shared/session_table.js',
    find: '>>> 0 === generation',
    replace: '>>> 0 !== 0',
  },
  closedBeforeEnd: {
    what: 'CLOSE is submitted before the terminal receive completion',
    file: 'src/session/lifecycle.js',
    find: '!session.counted || session.receiving !== Receiving.ENDED || session.endStatus !== -1',
    replace: '!session.counted || session.endStatus !== -1',
  },
  slotReusedEarly: {
    what: 'a slot is free although CLOSE is submitted only with the next one',
    file: 'src/session/lifecycle.js',
    find: 'core.submissions.close(session.slot, session.generation, session.resetOnClose);',
    replace:
      'this.late?.(); this.late = () => core.submissions.close(session.slot, session.generation, session.resetOnClose);',
  },
  leftTwice: {
    what: 'a session is released twice',
    file: 'src/session/lifecycle.js',
    find: 'leaveLater(session) {\n        this.#released.push(session);',
    replace: 'leaveLater(session) {\n        this.#released.push(session, session);',
  },
  baseDroppedEarly: {
    what: 'the base goes although something waits or is in flight',
    file: 'src/session/lifecycle.js',
    find: 'if (!this.#core.sender.quiet(session))\n            return;\n        session.counted',
    replace: 'session.counted',
  },
  requestNotCleared: {
    what: 'a request is never cleared',
    file: 'src/session/requests.js',
    find: 'const bits = exchange(words, session.at + SESSION_REQUEST, 0);',
    replace: 'const bits = words[session.at + SESSION_REQUEST];',
  },
  generationNotRaised: {
    what: 'the next session of a slot has the same id',
    file: 'src/session/registry.js',
    find: 'session.generation + 1',
    replace: 'session.generation',
  },
  partialFrameKept: {
    what: 'the memory of a frame in pieces is not released with its session',
    file: 'src/session/lifecycle.js',
    find: 'this.freePartial(session);',
    replace: '',
  },
  heldOutOfOrder: {
    what: 'bytes that came while a session was paused are read last first',
    file: 'src/inbound/dispatcher.js',
    find: 'for (const block of held) {',
    replace: 'for (const block of held.reverse()) {',
  },
  bufferReturnedEarly: {
    what: 'a receive buffer is returned although a slice refers to it',
    file: 'src/session/receive_buffers.js',
    find: 'if (left > 0)\n            return;',
    replace: 'if (left > 0) { this.#submissions.returnBuffer(buffer); return; }',
  },
  bufferNotReturned: {
    what: 'a receive buffer that is echoed is not returned',
    file: 'src/session/receive_buffers.js',
    find: 'if (left > 0)\n            return;',
    replace: 'if (left > 0) { this.#references[local] = 1 << 20; return; }',
  },
  endBeforeFlush: {
    what: 'the stream ends before what is queued was sent',
    file: 'src/session/lifecycle.js',
    find: 'else if (!this.#sendsElsewhere && core.sender.idle(session)) {',
    replace: 'else {',
  },
  endNotHurried: {
    what: 'a session ends, and the completion that it waits for may be kept back',
    file: 'src/session/lifecycle.js',
    find: 'if (session.sending)\n            this.#core.sender.hurry(session);',
    replace: '',
  },
  completionKeptBack: {
    what: 'a thread sleeps over a completion behind which something waits',
    file: 'src/outbound/sender.js',
    find: 'this.#behindFlight = !this.#sendsPend;\n            if (this.#isMemoryShort)',
    replace: 'if (this.#isMemoryShort)',
  },
  endedSessionHolds: {
    what: 'a session that ended while it was paused holds bytes',
    file: 'src/inbound/dispatcher.js',
    find: 'if (session.state === SessionState.OPEN) {\n                    if (session.paused)',
    replace:
      'if (session.state === SessionState.OPEN || session.paused) {\n                    if (session.paused)',
  },
  drainForgotten: {
    what: "onDrain does not follow 'full'",
    file: 'src/outbound/pressure.js',
    find: 'outbox.wantsDrain = false;\n        this.#events.drained(outbox);',
    replace: 'outbox.wantsDrain = false;',
  },
  jobBufferReturnedEarly: {
    what: 'a receive buffer is returned when its record is put, not when it was consumed',
    file: 'src/update/job_ring.js',
    find: 'this.#blocks[index] = buffer;\n        this.#blockBytes[index] = 0;',
    replace: 'this.#memory.releaseBuffer(buffer);',
  },
  jobBlockFreedEarly: {
    what: 'a block of the heap is freed when its record is put, not when it was consumed',
    file: 'src/update/job_ring.js',
    find: 'this.#blocks[index] = start;\n        this.#blockBytes[index] = bytes;',
    replace: 'this.#memory.freeBlock(start, bytes);',
  },
  endOvertakes: {
    what: 'the end of a session overtakes messages that wait for room in a job ring',
    file: 'src/update/forwarder.js',
    find: 'if (way.isStalled) {\n            const record',
    replace: 'if (way.isStalled && kind !== JobKind.END) {\n            const record',
  },
  roomNotTold: {
    what: 'a worker that waits for room in a job ring is not rung',
    file: 'src/update/content.js',
    find: 'if (handled > 0 && consumer.consumed())\n            this.#waker.ringBell(consumer.producer);',
    replace: 'if (handled > 0) consumer.consumed();',
  },
  movedWhileReceiving: {
    what: 'what comes while a session moves goes to the thread that it leaves',
    file: 'src/session/requests.js',
    find: 'lifecycle.pause(session);\n        link?.moving(session);',
    replace: 'link?.moving(session);',
  },
  heldNotMoved: {
    what: 'messages that a paused session holds do not move with it',
    file: 'src/update/content.js',
    find: 'session.held = move.held;',
    replace: '',
  },
  drainNotAskedAgain: {
    what: 'a send thread tells the thread that a session has left of room, and no other',
    file: 'src/update/content.js',
    find: 'sender.slots.wantDrain(slot);',
    replace: '',
  },
  movedOnTooEarly: {
    what: 'a session goes on to the next thread before its owner knows that it has come to this one',
    file: 'src/session/requests.js',
    find: 'if ((bits & SESSION_REQUEST_MOVED) !== 0)\n            this.#moved(session);\n        if ((bits & SESSION_REQUEST_MOVE) !== 0)\n            this.#move(session);',
    replace:
      'if ((bits & SESSION_REQUEST_MOVE) !== 0)\n            this.#move(session);\n        if ((bits & SESSION_REQUEST_MOVED) !== 0)\n            this.#moved(session);',
  },
  askedUnheard: {
    what: 'what content asks for between two turns wakes nobody',
    file: 'src/update/content_session.js',
    find: 'this.#parts.markPending();\n        if (!table.pinOpen(this.slot))\n            return false;',
    replace: 'if (!table.pinOpen(this.slot))\n            return false;',
  },
  givenBackEarly: {
    what: 'a send thread drops its count of a session before its driver has given back the socket',
    file: 'workers/send_turn.js',
    find: 'const completed = binding.submit();',
    replace: 'side.dropCounts(); const completed = binding.submit();',
  },
  heldBehindDeferred: {
    what: 'bytes that waited for a ring are read before older ones that a pause has kept',
    aim: 'content elsewhere',
    file: 'src/inbound/dispatcher.js',
    find: 'const waits = session.paused || session.held !== null;',
    replace: 'const waits = session.paused;',
  },
  cutStreamEnded: {
    what: 'a send thread ends the stream of a session that it has killed for memory',
    aim: 'sends elsewhere',
    file: 'src/send/send_side.js',
    find: 'const isWhole = !outbox.sendDead;',
    replace: 'const isWhole = true;',
  },
  audienceWithGap: {
    what: 'a broadcast joins a slice that it does not lie behind',
    file: 'src/outbound/audience.js',
    find: 'block !== this.#block || start !== this.#end)',
    replace: 'block !== this.#block)',
  },
}
