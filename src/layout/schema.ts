// What: the one declaration of every word, enum, error code, close reason and counter that threads and languages share.
// Flow: this -> generate.ts -> layout.ts, native/layout/layout.h, docs/reference/.
// Thread: none; read at build time only.

/** One 32-bit word (or a run of them) of a shared struct. */
export interface Field {
  readonly name: string
  readonly doc: string
  /** Who stores it. */
  readonly writer: string
  /** `plain`: one thread only; else the ordering of the stores and what they pair with. */
  readonly order: string
  readonly unit?: string
  /** Starts a new 64-byte cache line, so that writers do not share one (7.7 x on adjacent counters). */
  readonly line?: boolean
}

export interface Struct {
  readonly name: string
  readonly doc: string
  readonly fields: readonly Field[]
  /** Total size in words; the rest is padding. */
  readonly words: number
}

export interface Enum {
  readonly name: string
  readonly doc: string
  /** Value is `first` + index. */
  readonly first: number
  readonly members: readonly (readonly [name: string, doc: string])[]
}

export interface Constant {
  readonly name: string
  readonly value: number
  readonly doc: string
}

const INIT = 'plain; written by main before any thread starts'

function planned(name: string, doc: string, unit = 'words'): Field {
  return { name, doc, writer: 'main', order: INIT, unit }
}

export const constants: readonly Constant[] = [
  { name: 'MAGIC', value: 0x4f564c50, doc: 'First word of the control memory ("OVLP").' },
  { name: 'CACHE_LINE_WORDS', value: 16, doc: '64-byte cache lines, in 32-bit words.' },
  {
    name: 'THREADS_MAX',
    value: 256,
    doc: 'Threads of one runtime: main, workers, send threads, the acceptor, update threads, job threads.',
  },
  {
    name: 'SLOT_BITS',
    value: 20,
    doc: 'Bits of a session id (and of user_data) that name the slot.',
  },
  {
    name: 'SESSIONS_MAX',
    value: 1048575,
    doc: 'Most sessions of one runtime: 2^20 - 1, what SLOT_BITS can say.',
  },
  { name: 'LISTENERS_MAX', value: 256, doc: 'Listeners and outbound protocols of one runtime.' },
  { name: 'GROUP_NAME_BYTES_MAX', value: 64, doc: 'Longest name of a group, in bytes of UTF-8.' },
  {
    name: 'GROUPS_MAX',
    value: 65535,
    doc: 'Most groups alive at once: the directory is looked through by whoever makes one.',
  },
  {
    name: 'PROTOCOL_FLAG_LITTLE_ENDIAN',
    value: 1,
    doc: 'Length prefix: the length has its low byte first.',
  },
  {
    name: 'PROTOCOL_FLAG_INCLUDES_HEADER',
    value: 2,
    doc: 'Length prefix: the length counts the header too.',
  },
  {
    name: 'PROTOCOL_FLAG_STRIP',
    value: 4,
    doc: 'Delimiter: the handler gets payloads without it.',
  },
  { name: 'PROTOCOL_FLAG_RESET_ON_CLOSE', value: 8, doc: 'closeMode is `reset`.' },
  { name: 'PROTOCOL_FLAG_NO_DELAY', value: 16, doc: 'TCP_NODELAY.' },
  { name: 'GATHER_MAX', value: 1024, doc: 'Most slices in one gathered send: UIO_MAXIOV, uio(7).' },
  {
    name: 'IO_RELEASED',
    value: 0x40000000,
    doc: 'Bit of the I/O count: the session is released, no pin succeeds any more.',
  },
  {
    name: 'LOCK_WAITED',
    value: 0x10000,
    doc: 'Bit of a lock word beside the holder: somebody may sleep until it is given back.',
  },
  {
    name: 'GENERATION_MAX',
    value: 0xffffffff,
    doc: 'Last generation of a slot; after it the slot is retired.',
  },
  {
    name: 'SEND_HEADER_WORDS',
    value: 4,
    doc: 'Words of a SEND submission before its (offset, length) pairs.',
  },
  {
    name: 'SEND_FLAG_NOW',
    value: 1,
    doc: 'SEND completes at once with what the socket took (MSG_DONTWAIT).',
  },
  {
    name: 'SEND_FLAG_LAZY',
    value: 2,
    doc: 'The completion of a SEND that was taken whole may be reported when the next wait ends.',
  },
  {
    name: 'SEND_FLAG_ZERO_COPY',
    value: 4,
    doc: 'The kernel may read the bytes of a SEND where they lie; only with SEND_FLAG_NOW. A driver that cannot do so copies them.',
  },
  {
    name: 'SEND_NUMBER_SHIFT',
    value: 3,
    doc: 'Bits 3-6 of the flags of a SEND with SEND_FLAG_ZERO_COPY: its number, which comes back with NOTIFIED.',
  },
  {
    name: 'NOTIFICATIONS_MAX',
    value: 16,
    doc: 'Most NOTIFIED completions that may be outstanding for a session: what 4 bits can number.',
  },
  {
    name: 'HANDLE_LOST',
    value: -1,
    doc: 'Word `handle` of a session whose owner has ended and closed its socket.',
  },
  {
    name: 'CLOSE_FLAG_RESET',
    value: 1,
    doc: 'CLOSE sends RST (SO_LINGER with time 0) instead of FIN.',
  },
  {
    name: 'SESSION_REQUEST_CLOSE',
    value: 1,
    doc: 'Close the session.',
  },
  {
    name: 'SESSION_REQUEST_TERMINATE',
    value: 2,
    doc: 'Reset the session.',
  },
  {
    name: 'SESSION_REQUEST_END',
    value: 4,
    doc: 'Its content has handled everything up to END: go on closing.',
  },
  {
    name: 'SESSION_REQUEST_FLOW',
    value: 8,
    doc: 'The word `paused` has changed.',
  },
  {
    name: 'SESSION_REQUEST_MOVE',
    value: 16,
    doc: 'Its content moves to another update thread.',
  },
  {
    name: 'SESSION_REQUEST_MOVED',
    value: 32,
    doc: 'The update thread that it moved to has it.',
  },
  {
    name: 'SESSION_REQUEST_FLUSHED',
    value: 64,
    doc: 'Its send thread has sent everything and ended the stream.',
  },
  {
    name: 'SESSION_REQUEST_SEND_RESET',
    value: 128,
    doc: 'Its send thread found that the peer has reset the connection.',
  },
  {
    name: 'SESSION_REQUEST_SEND_FAILED',
    value: 256,
    doc: 'A send of its send thread failed otherwise.',
  },
  {
    name: 'SESSION_REQUEST_OVERFLOW',
    value: 512,
    doc: 'The heap of its send thread is full, and this session has most of it.',
  },
  {
    name: 'COMPLETION_FLAG_TERMINAL',
    value: 1,
    doc: 'No further completion follows for this receive operation.',
  },
  {
    name: 'COMPLETION_FLAG_NOTIFIES',
    value: 2,
    doc: 'Of SEND: NOTIFIED follows, and until then the kernel may read what it has taken.',
  },
  {
    name: 'COMPLETION_FLAG_COPIED',
    value: 4,
    doc: 'Of NOTIFIED: the kernel has copied the bytes after all.',
  },
  {
    name: 'PORT_THREADS_MAX',
    value: 256,
    doc: 'Threads that may have one completion port open.',
  },
  {
    name: 'PORT_GRANTING',
    value: 0x10000,
    doc: 'In a place of a completion port: it is being given away by this thread.',
  },
]

const PORT_INIT = 'plain; written by create() before any other thread has the port'

function portPlanned(name: string, doc: string, unit = 'words'): Field {
  return { name, doc, writer: 'the creator', order: PORT_INIT, unit }
}

export const structs: readonly Struct[] = [
  {
    name: 'control',
    doc: 'Head of the control memory: the plan of everything behind it. `_at` words are indices in words from its start, `_byte_at` bytes from the start of the arena.',
    words: 64,
    fields: [
      planned('magic', 'MAGIC.', ''),
      planned('layout_hash', 'Hash of this schema; compared when the addon opens the memory.', ''),
      planned('thread_count', 'Threads with a thread block.', 'threads'),
      planned('worker_count', 'I/O workers; their thread ids are 1 to worker_count.', 'threads'),
      planned(
        'driver_count',
        'Threads with a driver: workers, then send threads; their thread ids are 1 to driver_count.',
        'threads',
      ),
      planned('acceptor_thread', 'Thread id of the accept thread.', ''),
      planned('update_first', 'Thread id of the first update thread.', ''),
      planned('update_count', 'Update threads.', 'threads'),
      planned('job_first', 'Thread id of the first job thread.', ''),
      planned('job_count', 'Job threads.', 'threads'),
      planned('session_capacity', 'Slots of the session table.', 'slots'),
      planned('sessions_per_worker', 'Slots that belong to one worker.', 'slots'),
      planned('nodes_per_thread', 'Send nodes that belong to one thread.', 'nodes'),
      planned('chunk_count', 'Chunks in the arena.', 'chunks'),
      planned('chunk_bytes', 'Size of a chunk.', 'bytes'),
      planned(
        'recv_buffers_per_worker',
        'Receive buffers of one worker; a power of two.',
        'buffers',
      ),
      planned('recv_buffer_bytes', 'Payload size of a receive buffer.', 'bytes'),
      planned(
        'recv_buffer_stride',
        'Distance between receive buffers: one cache line more than their size, so that they spread over the cache sets.',
        'bytes',
      ),
      planned(
        'heap_bytes_per_worker',
        'Overflow and partial-frame memory of one thread with a driver.',
        'bytes',
      ),
      planned('completion_capacity', 'Entries of one completion ring; a power of two.', 'entries'),
      planned('submission_words', 'Words of one submission area.'),
      planned('threads_at', 'Thread blocks.'),
      planned('sessions_at', 'Session table.'),
      planned('nodes_at', 'Send nodes.'),
      planned('chunk_bitmap_at', 'Bitmap of free chunks.'),
      planned('chunk_refs_at', 'Reference count of each chunk.'),
      planned('completions_at', 'Completion rings, one per thread with a driver.'),
      planned('submissions_at', 'Submission areas, one per thread with a driver.'),
      planned(
        'job_rings_at',
        'Job rings: for each thread with a driver one to each update thread, heads and tails first.',
      ),
      planned('job_ring_capacity', 'Records of one job ring; a power of two.', 'records'),
      planned(
        'groups_at',
        'Groups: the directory, its buckets, the entries, a bitmap of session slots for each entry.',
      ),
      planned('group_max', 'Entries for groups.', 'groups'),
      planned(
        'group_capacity',
        'Capacity of a group whose first join says none; 0: no limit.',
        'members',
      ),
      planned('live_slots_at', 'Live slots: a bit for each slot that holds a session, by worker.'),
      planned('counters_at', 'Counters, one block of float64 per thread.'),
      planned('protocols_at', 'Protocol table: LISTENERS_MAX records.'),
      planned('control_words', 'Size of the control memory.'),
      {
        name: 'sent_wanted',
        doc: 'Not 0: a handler has onSend, so that send threads report what was sent.',
        writer: 'update threads',
        order: 'seq_cst',
      },
      {
        name: 'sessions_opened',
        doc: 'Sessions that became open so far, modulo 2^32: while it stands still, a broadcast goes to those of the one before.',
        writer: 'workers',
        order: 'seq_cst; AUDIENCE-2',
      },
      planned('recv_byte_at', 'Receive buffers in the arena.', 'bytes'),
      planned('heap_byte_at', 'Heaps of threads with a driver, in the arena.', 'bytes'),
      planned('chunk_byte_at', 'Chunks in the arena.', 'bytes'),
      planned(
        'job_byte_at',
        'Payloads of job records in the arena: for each worker one region to each update thread.',
        'bytes',
      ),
      planned('job_bytes_per_ring', 'Size of one of these regions.', 'bytes'),
      planned('arena_bytes', 'Size of the arena.', 'bytes'),
      planned(
        'zero_copy_bytes',
        'Gathers of so many bytes and more are sent without a copy; 0: none.',
        'bytes',
      ),
      planned(
        'zero_copy_is_auto',
        'Not 0: zero copy ends where the kernel copies all the same.',
        '',
      ),
      planned(
        'poison',
        'Not 0: memory that is given back is overwritten at once, so that whoever still reads it is found.',
        '',
      ),
      {
        name: 'protocol_count',
        doc: 'Protocols with an index: the declared ones, then those of connect(). Threads that found no room leave it above LISTENERS_MAX.',
        writer: 'main, before any thread starts; then any thread adds',
        order: 'seq_cst; PROTOCOL-1',
        unit: 'protocols',
        line: true,
      },
    ],
  },
  {
    name: 'thread',
    doc: 'One block per thread: the words by which other threads reach it.',
    words: 160,
    fields: [
      {
        name: 'parked',
        doc: '1 while the thread sleeps or is about to.',
        writer: 'both: the thread sets it, a waker exchanges it to 0',
        order: 'seq_cst; WAKE-1',
        line: true,
      },
      {
        name: 'flush_head',
        doc: 'Stack of slots (slot + 1; 0 is empty) whose send flag was won by another thread and whose sends this thread must submit.',
        writer: 'any thread pushes, the thread takes all',
        order: 'seq_cst; FLUSH-1',
        line: true,
      },
      {
        name: 'release_head',
        doc: 'Stack of slots (slot + 1) whose I/O count another thread brought to 0.',
        writer: 'any thread pushes, the thread takes all',
        order: 'seq_cst; IOCOUNT-3',
        line: true,
      },
      {
        name: 'request_head',
        doc: 'Stack of slots (slot + 1) for which another thread asks this thread for something.',
        writer: 'any thread pushes, the thread takes all',
        order: 'seq_cst; REQUEST-1',
        line: true,
      },
      {
        name: 'doorbell',
        doc: 'Not 0: something was published for this thread in a ring or stack that only its JavaScript knows.',
        writer: 'any thread sets it, the thread clears it before it looks',
        order: 'seq_cst; BELL-1',
        line: true,
      },
      {
        name: 'node_return_head',
        doc: 'Stack of send nodes (node + 1) of this thread that other threads are done with.',
        writer: 'any thread pushes, the thread takes all',
        order: 'seq_cst; SENDLIST-4',
        line: true,
      },
      {
        name: 'assigned_sessions',
        doc: 'Sessions given to this worker and not yet released; the acceptor balances by it.',
        writer: 'acceptor and connecting worker add, the worker subtracts',
        order: 'seq_cst',
        unit: 'sessions',
        line: true,
      },
      {
        name: 'thread_state',
        doc: 'ThreadState.',
        writer: 'the thread; main when it is lost',
        order: 'seq_cst',
      },
      {
        name: 'completion_head',
        doc: 'Completions consumed, modulo 2^32.',
        writer: 'the worker (JavaScript)',
        order: 'seq_cst; COMPLETION-2',
        unit: 'entries',
        line: true,
      },
      {
        name: 'completion_tail',
        doc: 'Completions published, modulo 2^32.',
        writer: 'its driver (native)',
        order: 'release; COMPLETION-1',
        unit: 'entries',
        line: true,
      },
      {
        name: 'local_pending',
        doc: 'Not 0 when the thread itself has sends or releases that no turn has flushed; read before every sleep.',
        writer: 'the thread (JavaScript)',
        order: 'plain; same thread reads',
        line: true,
      },
      {
        name: 'deaf',
        doc: 'Not 0: what the doorbell says waits for the next tick, so that it neither wakes the thread nor keeps it from sleeping. Only threads to which nothing but the doorbell is published set it.',
        writer: 'the thread (JavaScript)',
        order: 'plain; same thread reads; BELL-2',
      },
      {
        name: 'receive_interval_ms',
        doc: 'Not 0: between two waits of this thread lies so much time where little comes, so that a turn finds more of it. A wake and libuv end it at once.',
        writer: 'the thread (JavaScript), before it opens its driver',
        order: 'plain; same thread reads; REST-1',
        unit: 'ms',
      },
      {
        name: 'submission_used',
        doc: 'Words of the submission area that wait for submit.',
        writer: 'the thread: JavaScript adds, native sets to 0',
        order: 'plain; same thread',
        unit: 'words',
      },
      {
        name: 'turn_at_ms',
        doc: 'Monotonic clock when the wait before this turn ended, modulo 2^32: JavaScript pays ten times as much for a clock.',
        writer: 'the thread (native), before each turn',
        order: 'plain; same thread',
        unit: 'ms',
      },
    ],
  },
  {
    name: 'session',
    doc: 'One slot of the session table: three cache lines, by who writes them.',
    words: 48,
    fields: [
      {
        name: 'generation',
        doc: 'Which session this slot holds; 0 is never issued.',
        writer: 'owner',
        order: 'seq_cst; SESSION-1',
        line: true,
      },
      { name: 'state', doc: 'SessionState.', writer: 'owner', order: 'seq_cst' },
      {
        name: 'listener',
        doc: 'Index of the listener or outbound protocol, so that any thread knows the framing.',
        writer: 'owner',
        order: 'seq_cst; published by io_count',
      },
      { name: 'owner', doc: 'Thread id of the owning worker.', writer: 'main', order: INIT },
      { name: 'tag', doc: 'A word for the user.', writer: 'content thread', order: 'seq_cst' },
      {
        name: 'sender',
        doc: 'Thread id of who submits its sends: the owner, or in mode send a send thread.',
        writer: 'owner, before the session is open; then the sender, when it moves to a lane',
        order: 'seq_cst; LANE-1',
      },
      {
        name: 'content',
        doc: 'Thread id of who runs its content: the owner, or an update thread.',
        writer: 'owner, before the session is open; then the update thread that it moves to',
        order: 'seq_cst; published by io_count; MOVE-1',
      },
      {
        name: 'handle',
        doc: "The socket's descriptor + 1, for the driver of a send thread; 0: none is attached; HANDLE_LOST.",
        writer: "owner's driver (native)",
        order: 'seq_cst; published before its join is',
      },
      {
        name: 'peer_port',
        doc: "The peer's port; bit 16 is set for IPv6.",
        writer: "owner's driver (native)",
        order: 'plain; published by handle',
      },
      ...[0, 1, 2, 3].map((part) => ({
        name: `peer_${part}`,
        doc: `Bytes ${4 * part} to ${4 * part + 3} of the peer's address, as they are sent.`,
        writer: "owner's driver (native)",
        order: 'plain; published by handle',
      })),
      {
        name: 'io_count',
        doc: 'References that keep the session alive: base, held send flag, pins; IO_RELEASED when it fell to 0.',
        writer: 'any thread',
        order: 'seq_cst; IOCOUNT-1',
        line: true,
      },
      {
        name: 'release_link',
        doc: 'Next slot on the release stack.',
        writer: 'whoever brought io_count to 0',
        order: 'plain; published by release_head',
      },
      {
        name: 'request',
        doc: 'SESSION_REQUEST_* bits; not 0 exactly while the slot is on a request stack.',
        writer: 'any thread sets bits under a pin, the owner takes them all',
        order: 'seq_cst; REQUEST-1',
      },
      {
        name: 'request_link',
        doc: 'Next slot on a request stack; the set request word makes membership single.',
        writer: 'who set the first bit of request',
        order: 'plain; published by request_head',
      },
      {
        name: 'paused',
        doc: 'Not 0: the update thread that runs its content wants it paused.',
        writer: 'content thread',
        order: 'seq_cst; published by request',
      },
      {
        name: 'close_reason',
        doc: 'CloseReason that its content gives with a request to close; 0: none.',
        writer: 'content thread',
        order: 'seq_cst; published by request',
      },
      {
        name: 'move_to',
        doc: 'Thread id of the update thread that it moves to.',
        writer: 'content thread',
        order: 'seq_cst; published by request',
      },
      {
        name: 'send_head',
        doc: 'Send list: newest node + 1; 0 is empty.',
        writer: 'any thread pushes under a pin, the owner takes all',
        order: 'seq_cst; SENDLIST-1',
        line: true,
      },
      {
        name: 'send_flag',
        doc: 'Send flag: 0, or the id of the thread that hands the slot to its owner + 1 (main is thread 0).',
        writer: 'any thread sets it, the owner clears it',
        order: 'seq_cst; SENDFLAG-1',
      },
      {
        name: 'flush_link',
        doc: 'Next slot on a flush stack; the held flag makes membership single.',
        writer: 'flag holder',
        order: 'plain; published by flush_head',
      },
      {
        name: 'queued_bytes',
        doc: 'Bytes that threads other than the sender have queued and no completion has settled.',
        writer: 'any thread',
        order: 'seq_cst; DRAIN-1',
        unit: 'bytes',
      },
      {
        name: 'drain_wanted',
        doc: 'Not 0: its update thread was told `full` and waits for onDrain.',
        writer: 'content thread sets it, who settles queued_bytes exchanges it to 0',
        order: 'seq_cst; DRAIN-1',
      },
      {
        name: 'lane_wanted',
        doc: 'Thread id of the send thread that its content wants it to send through; 0: no change.',
        writer: 'content thread sets it, the sender sets it back to 0',
        order: 'seq_cst; LANE-1',
      },
      {
        name: 'stream_ended',
        doc: 'Not 0: a send thread has ended the stream; what is queued later is dropped.',
        writer: 'owner sets it to 0 before the session is open; the sender',
        order: 'plain; published by io_count and flush_head',
      },
      {
        name: 'handed_node',
        doc: 'Oldest of the nodes that waited when it moved to a lane, linked towards the newest; 0: none.',
        writer:
          'the sender that it leaves, while it holds the flag; the next one sets it back to 0',
        order: 'plain; published by flush_head; LANE-2',
      },
    ],
  },
  {
    name: 'job_ring',
    doc: 'Head and tail of a job ring, from a thread with a driver to an update thread.',
    words: 32,
    fields: [
      {
        name: 'tail',
        doc: 'Records published, modulo 2^32.',
        writer: 'the thread with the driver',
        order: 'seq_cst; JOBRING-1',
        unit: 'records',
        line: true,
      },
      {
        name: 'head',
        doc: 'Records handled, modulo 2^32.',
        writer: 'the update thread',
        order: 'seq_cst; JOBRING-2',
        unit: 'records',
        line: true,
      },
      {
        name: 'space_wanted',
        doc: 'Not 0: the producer waits for records to be handled.',
        writer: 'the producer sets it, the update thread exchanges it to 0',
        order: 'seq_cst; JOBRING-4',
      },
    ],
  },
  {
    name: 'job',
    doc: 'A record of a job ring; JobKind says what the words are.',
    words: 4,
    fields: [
      {
        name: 'kind_slot',
        doc: 'JobKind in bits 0-7, session slot in the bits above.',
        writer: 'producer',
        order: 'plain; published by tail',
      },
      { name: 'first', doc: 'First value.', writer: 'producer', order: 'plain; published by tail' },
      {
        name: 'second',
        doc: 'Second value.',
        writer: 'producer',
        order: 'plain; published by tail',
      },
    ],
  },
  {
    name: 'protocol',
    doc: 'A protocol that connect() was given: what another thread must know to send to its sessions or to receive for them.',
    words: 16,
    fields: [
      {
        name: 'published',
        doc: '1 when the words below are there; they never change again.',
        writer: 'whoever claimed the index',
        order: 'seq_cst; PROTOCOL-2',
        line: true,
      },
      {
        name: 'framing',
        doc: 'FramingKind.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
      },
      {
        name: 'flags',
        doc: 'PROTOCOL_FLAG_* bits.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
      },
      {
        name: 'marker_bytes',
        doc: 'Width of the length field, or of the delimiter.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
        unit: 'bytes',
      },
      {
        name: 'prefix_offset',
        doc: 'Length prefix: bytes before the length field.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
        unit: 'bytes',
      },
      {
        name: 'delimiter_0',
        doc: 'Delimiter: its bytes 0 to 3, low byte first.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
      },
      {
        name: 'delimiter_1',
        doc: 'Delimiter: its bytes 4 to 7, low byte first.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
      },
      {
        name: 'delimiter_2',
        doc: 'Delimiter: its bytes 8 to 11, low byte first.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
      },
      {
        name: 'delimiter_3',
        doc: 'Delimiter: its bytes 12 to 15, low byte first.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
      },
      {
        name: 'max_payload_length',
        doc: 'Longest payload that is received.',
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
        unit: 'bytes',
      },
      {
        name: 'send_buffer_bytes',
        doc: "SO_SNDBUF; 0 is the system's.",
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
        unit: 'bytes',
      },
      {
        name: 'receive_buffer_bytes',
        doc: "SO_RCVBUF; 0 is the system's.",
        writer: 'whoever claimed the index',
        order: 'plain; published by published',
        unit: 'bytes',
      },
    ],
  },
  {
    name: 'node',
    doc: 'A slice of memory waiting to be sent to one session.',
    words: 4,
    fields: [
      {
        name: 'next',
        doc: 'Next node + 1; 0 ends the list.',
        writer: 'whoever has the node',
        order: 'plain; published by the list head',
      },
      {
        name: 'offset',
        doc: 'Where the slice starts in the arena.',
        writer: 'producer',
        order: 'plain; published by the list head',
        unit: 'bytes',
      },
      {
        name: 'length',
        doc: 'Length of the slice.',
        writer: 'producer',
        order: 'plain; published by the list head',
        unit: 'bytes',
      },
      {
        name: 'block',
        doc: 'Memory that the slice holds a reference on: chunk index, or -2 - index of a receive buffer.',
        writer: 'producer',
        order: 'plain; published by the list head',
      },
    ],
  },
  {
    name: 'completion',
    doc: 'One finished operation, as the driver reports it.',
    words: 8,
    fields: [
      {
        name: 'kind',
        doc: 'CompletionKind.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
      },
      {
        name: 'flags',
        doc: 'COMPLETION_FLAG_* bits.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
      },
      {
        name: 'slot',
        doc: 'Session slot; ACCEPT: the listener.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
      },
      {
        name: 'generation',
        doc: 'Generation that the operation was submitted for.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
      },
      {
        name: 'status',
        doc: 'IoStatus.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
      },
      {
        name: 'result',
        doc: 'RECV and SEND: bytes. ACCEPT: token of the socket in transit. CONNECT: native error number, 0 where there is none.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
      },
      {
        name: 'offset',
        doc: 'RECV: where the bytes are in the arena.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
        unit: 'bytes',
      },
      {
        name: 'buffer',
        doc: 'RECV: receive buffer that holds them, to be returned.',
        writer: 'driver',
        order: 'plain; published by completion_tail',
      },
    ],
  },
  {
    name: 'group_directory',
    doc: 'Head of the groups: who may change which groups there are.',
    words: 48,
    fields: [
      {
        name: 'lock',
        doc: '0, or the id of the thread that holds it + 1; LOCK_WAITED: somebody waits for it.',
        writer: 'any thread that runs content; main for one that is lost',
        order: 'seq_cst; LOCK-1',
        line: true,
      },
      {
        name: 'version',
        doc: 'Groups that were made, modulo 2^32: raised before the words of an entry change.',
        writer: 'holder of the lock',
        order: 'seq_cst; GROUP-4',
        line: true,
      },
      {
        name: 'alive',
        doc: 'Groups that there are now.',
        writer: 'holder of the lock',
        order: 'seq_cst',
        unit: 'groups',
      },
      {
        name: 'used',
        doc: 'Entries that were ever used; those from here on are free.',
        writer: 'holder of the lock',
        order: 'plain; under the lock',
        line: true,
      },
      {
        name: 'free_first',
        doc: 'Entry + 1 that has been free for longest; 0: none of the used ones is free.',
        writer: 'holder of the lock',
        order: 'plain; under the lock',
      },
      {
        name: 'free_last',
        doc: 'Entry + 1 that became free last.',
        writer: 'holder of the lock',
        order: 'plain; under the lock',
      },
    ],
  },
  {
    name: 'group',
    doc: 'One entry for a group; the words of its name are the last.',
    words: 48,
    fields: [
      {
        name: 'generation',
        doc: 'Which group this entry holds; odd while there is one.',
        writer: 'holder of the lock',
        order: 'seq_cst; GROUP-1',
        line: true,
      },
      {
        name: 'next',
        doc: 'Entry + 1 that is next in the bucket; kept when the entry is taken out.',
        writer: 'holder of the lock',
        order: 'seq_cst; GROUP-4',
      },
      {
        name: 'capacity',
        doc: 'Most members; 0: no limit.',
        writer: 'holder of the lock, before the generation',
        order: 'seq_cst; published by generation',
        unit: 'members',
      },
      {
        name: 'bucket',
        doc: 'Word of the bucket that the entry is in.',
        writer: 'holder of the lock',
        order: 'plain; under the lock',
      },
      {
        name: 'free_link',
        doc: 'Entry + 1 that became free after this one.',
        writer: 'holder of the lock',
        order: 'plain; under the lock',
      },
      {
        name: 'members',
        doc: 'Sessions that are in the group.',
        writer: 'threads that run content; from 0 to 1 the holder of the lock only',
        order: 'seq_cst; GROUP-2',
        unit: 'members',
        line: true,
      },
      {
        name: 'name_length',
        doc: 'Bytes of the name.',
        writer: 'holder of the lock, before the generation',
        order: 'seq_cst; published by generation',
        unit: 'bytes',
      },
      {
        name: 'name',
        doc: 'First of the words of the name: UTF-8, zeros behind it.',
        writer: 'holder of the lock, before the generation',
        order: 'seq_cst; published by generation',
      },
    ],
  },
  {
    name: 'port',
    doc: 'Head of the memory of a completion port, which is a SharedArrayBuffer of its own. `_at` words are indices in words from its start.',
    words: 80,
    fields: [
      portPlanned('hash', 'Hash of this schema; compared when a thread opens the port.', ''),
      portPlanned('threads', 'Threads that may have the port open.', 'threads'),
      portPlanned('limit', 'Threads that may run at once: places.', 'threads'),
      portPlanned('capacity', 'Entries that belong to one thread.', 'entries'),
      portPlanned(
        'entry_bytes',
        'Payload bytes of one entry; a longer payload takes several.',
        'bytes',
      ),
      portPlanned(
        'queue_bits',
        'The queue has 2^queue_bits cells, more than there are entries.',
        'bits',
      ),
      portPlanned(
        'places_at',
        'Places, one word each: 0, thread + 1 of who runs on it, or that with PORT_GRANTING of who is giving it away.',
      ),
      portPlanned('threads_at', 'Thread blocks.'),
      portPlanned(
        'cells_at',
        'Cells of the queue, one word each: lap, entry, and whether it is there.',
      ),
      portPlanned('entries_at', 'Entries.'),
      portPlanned('payload_byte_at', 'Payloads.', 'bytes'),
      {
        name: 'tail',
        doc: 'Cells that were filled, modulo 2^32; behind by one while who filled the last one has not said so.',
        writer: 'any thread',
        order: 'seq_cst; PORT-1',
        unit: 'cells',
        line: true,
      },
      {
        name: 'head',
        doc: 'Cells that were emptied, modulo 2^32; behind by one as tail is.',
        writer: 'any thread',
        order: 'seq_cst; PORT-1',
        unit: 'cells',
        line: true,
      },
      {
        name: 'waits',
        doc: 'Waits that began, modulo 2^32: whoever waits has the number of its wait, and the highest is chosen.',
        writer: 'any thread',
        order: 'seq_cst; PORT-3',
        unit: 'waits',
        line: true,
      },
      {
        name: 'threads_used',
        doc: 'Thread blocks that were used so far: those behind need no look.',
        writer: 'any thread',
        order: 'seq_cst',
        unit: 'threads',
        line: true,
      },
    ],
  },
  {
    name: 'port_thread',
    doc: 'One block per thread that has a completion port open.',
    words: 64,
    fields: [
      {
        name: 'state',
        doc: 'PortThreadState in bits 0-2; above, the number of the wait (WAITING) or the place (CHOSEN, RUNNING). The thread sleeps on this word.',
        writer: 'the thread; from WAITING and OVER any thread, and main when it is gone',
        order: 'seq_cst; PORT-2',
        line: true,
      },
      {
        name: 'return_head',
        doc: 'Stack of entries (entry + 1) of this thread that others are done with.',
        writer: 'any thread pushes, the thread takes all',
        order: 'seq_cst; PORT-6',
        line: true,
      },
      {
        name: 'direct_head',
        doc: 'Stack of entries (entry + 1) that were posted to this thread alone.',
        writer: 'any thread pushes, the thread takes all',
        order: 'seq_cst; PORT-9',
        line: true,
      },
      {
        name: 'free_entry',
        doc: 'First entry + 1 of the free list; 0: empty.',
        writer: 'the thread',
        order: 'plain; the next one to have the block is ordered by state',
        line: true,
      },
      {
        name: 'fresh_entries',
        doc: 'Entries that were never used so far.',
        writer: 'the thread',
        order: 'plain; as free_entry',
        unit: 'entries',
      },
      {
        name: 'holding',
        doc: 'Entry + 1 that it took from the queue and has not given back; 0: none.',
        writer: 'the thread',
        order: 'plain; as free_entry',
      },
      {
        name: 'key',
        doc: 'What the thread associated itself with, for snapshots.',
        writer: 'the thread',
        order: 'seq_cst',
      },
    ],
  },
  {
    name: 'port_entry',
    doc: 'What was posted to a completion port.',
    words: 5,
    fields: [
      {
        name: 'link',
        doc: 'Next entry + 1 of a free list or a stack.',
        writer: 'whoever has the entry',
        order: 'plain; published by a stack',
      },
      {
        name: 'next',
        doc: 'Entry + 1 that has the next part of the payload; 0: none.',
        writer: 'who posts',
        order: 'plain; published by a cell',
      },
      { name: 'key', doc: 'Its key.', writer: 'who posts', order: 'plain; published by a cell' },
      {
        name: 'value',
        doc: 'Its value.',
        writer: 'who posts',
        order: 'plain; published by a cell',
      },
      {
        name: 'length',
        doc: 'Bytes of its payload.',
        writer: 'who posts',
        order: 'plain; published by a cell',
        unit: 'bytes',
      },
    ],
  },
]

/** Least and most slices of each bucket of the histogram of gathers: powers of two up to GATHER_MAX. */
const gatherSizes: readonly (readonly [least: number, most: number])[] = Array.from(
  { length: 11 },
  (_, power) => [power === 0 ? 1 : 2 ** (power - 1) + 1, 2 ** power],
)

const closeReasons: Enum['members'] = [
  ['NONE', 'It has not ended.'],
  ['PEER_CLOSED', 'The peer ended its stream.'],
  ['PEER_RESET', 'The peer reset the connection.'],
  ['LOCAL_CLOSE', 'session.close() or runtime.close().'],
  ['LOCAL_TERMINATE', 'session.terminate().'],
  ['REFUSED', 'onConnectionRequest returned false.'],
  ['TABLE_FULL', 'maxSessions sessions were open.'],
  ['FRAME_TOO_LONG', 'A frame announced, or grew to, more than maxPayloadLength.'],
  ['FRAME_INVALID', 'A header that cannot be: a length below the header it includes.'],
  ['HANDLER_ERROR', 'The handler threw or rejected.'],
  ['IDLE_TIMEOUT', 'Nothing was received for idleTimeout.'],
  ['FIRST_MESSAGE_TIMEOUT', 'No message came within firstMessageTimeout.'],
  ['CLOSE_TIMEOUT', 'The peer did not end its stream within closeTimeout.'],
  [
    'OVERFLOW',
    'The memory for unsent bytes or partial frames ran out and this session held the most.',
  ],
  ['SERVER_STOP', 'The server stopped.'],
  ['WORKER_LOST', 'The worker that owned the session ended.'],
  ['CONNECT_FAILED', 'The outbound connection was not made.'],
  ['IO_ERROR', 'The system reported an error that has no reason of its own.'],
]

export const enums: readonly Enum[] = [
  {
    name: 'PortThreadState',
    doc: 'What a thread does with a completion port.',
    first: 0,
    members: [
      ['ABSENT', 'No thread has this block.'],
      ['OUTSIDE', 'It has the port open, does not wait and has nothing from it.'],
      ['WAITING', 'It waits, or is about to.'],
      ['CHOSEN', 'It was given a place and has not woken yet.'],
      ['RUNNING', 'It has something from the port and a place.'],
      ['OVER', 'It came back from blocking when all places were taken: it runs without one.'],
      ['PAUSED', 'It has something from the port and says that it blocks.'],
    ],
  },
  {
    name: 'CompletionKind',
    doc: 'What finished.',
    first: 1,
    members: [
      ['ACCEPT', 'A connection was accepted and waits to be attached or refused.'],
      ['RECV', 'Bytes arrived, the peer ended its stream, or receiving ended.'],
      ['SEND', 'A gathered send finished, in whole or in part.'],
      ['CONNECT', 'An outbound connection was made or failed.'],
      ['PEER_GONE', 'The peer of a paused session closed or reset its connection.'],
      ['PAUSED', 'Receiving stopped on request and can be started again.'],
      ['NOTIFIED', 'The kernel reads the bytes of a zero-copy SEND no more; result is its number.'],
    ],
  },
  {
    name: 'SubmissionOp',
    doc: 'First word of a submission, bits 0-7; bits 8-15 are flags, bits 16-31 a count.',
    first: 1,
    members: [
      ['SEND', 'slot, generation, total bytes, then count pairs of offset and length.'],
      ['ATTACH', "slot, generation, token: the socket in transit becomes the slot's."],
      ['REFUSE', 'token: the socket in transit is reset.'],
      ['RECV', 'slot, generation: start (or start again) receiving.'],
      ['PAUSE', 'slot, generation: stop receiving, watch for the peer leaving.'],
      ['CANCEL', 'slot, generation: end every pending operation of the slot.'],
      ['SHUTDOWN', 'slot, generation: no more sends; FIN follows what was taken.'],
      ['CLOSE', 'slot, generation: close the handle. Nothing may be pending but a peer watch.'],
      ['CONNECT', 'slot, generation, token: connect the prepared socket.'],
      ['BUFFER_RETURN', 'count receive buffer indices.'],
      [
        'BORROW',
        "slot, generation: this thread sends on the socket that the owner's driver has attached (word `handle`).",
      ],
      ['GIVE_BACK', 'slot, generation: it does not any more. No send of it may be pending.'],
    ],
  },
  {
    name: 'IoStatus',
    doc: 'Outcome of an operation, the same on every driver; native errors are mapped once, in the driver.',
    first: 0,
    members: [
      ['OK', 'It succeeded.'],
      ['END_OF_STREAM', 'The peer sent FIN: nothing more will be received.'],
      ['RESET', 'The peer reset the connection.'],
      ['CANCELLED', 'It was cancelled from this side.'],
      ['REFUSED', 'Nobody listens at the address.'],
      ['UNREACHABLE', 'There is no way to the address.'],
      ['TIMED_OUT', 'The peer did not answer in time.'],
      ['ADDRESS_IN_USE', 'The local address is taken.'],
      ['ADDRESS_UNAVAILABLE', 'The local address does not exist, or no port is free.'],
      ['NO_PERMISSION', 'The system does not allow it.'],
      ['NO_RESOURCES', 'The system is out of descriptors or memory.'],
      ['NOT_SUPPORTED', 'The system, or this kind of socket, cannot do it.'],
      ['UNKNOWN', 'Anything else; the native number is in the log.'],
    ],
  },
  {
    name: 'SessionState',
    doc: 'Life of a slot; transitions are drawn in docs/protocols/session.md.',
    first: 0,
    members: [
      ['FREE', 'Nobody uses the slot.'],
      ['OPEN', 'Receives and sends.'],
      ['CLOSING', 'Takes no new sends; flushes, then ends the stream and waits for the peer.'],
      ['TERMINATING', 'Everything pending is being cancelled.'],
      ['RELEASED', 'The I/O count fell to 0; the handle is being closed.'],
      ['RETIRED', 'Every generation was used; the slot is not used again.'],
    ],
  },
  {
    name: 'FramingKind',
    doc: 'Kind of a framing in the protocol table.',
    first: 1,
    members: [
      ['LENGTH_PREFIX', 'A length before each payload.'],
      ['DELIMITER', 'A byte sequence after each payload.'],
      ['RAW', 'No messages.'],
    ],
  },
  {
    name: 'JobKind',
    doc: 'What a record of a job ring says; the first word of a record is kind | slot << 8.',
    first: 1,
    members: [
      ['JOIN', 'generation, protocol: a session that this thread runs the content of.'],
      ['CONNECTED', 'generation, number of the connect() that made it: before its JOIN.'],
      ['RECV', 'offset, length of a payload in the arena: a message.'],
      [
        'END',
        'CloseReason: nothing more is received; asks to be closed when all before it is handled.',
      ],
      ['DRAIN', 'generation: half of maxBackpressure is free again.'],
      ['SENT', 'generation, bytes: a gather was taken by the socket.'],
      ['MOVE', 'the session goes to the update thread that it asked for.'],
      [
        'LEAVE',
        'CloseReason: the I/O count fell to 0; asks for the slot back when onLeave has returned.',
      ],
    ],
  },
  {
    name: 'ThreadState',
    doc: 'What a thread is doing.',
    first: 0,
    members: [
      ['ABSENT', 'Not started.'],
      ['RUNNING', 'Takes work.'],
      ['STOPPING', 'Takes no new sessions.'],
      ['GONE', 'Ended; its sessions are closed.'],
    ],
  },
  {
    name: 'CloseReason',
    doc: 'Why a session ended: given to onLeave, counted per reason.',
    first: 0,
    members: closeReasons,
  },
  {
    name: 'Counter',
    doc: 'Counters of a thread: float64 each (exact to 2^53), one writer, never reset.',
    first: 0,
    members: [
      ['TURNS', 'Turns of the loop.'],
      ['SLEEPS', 'Times the thread slept.'],
      [
        'CPU_NS',
        'CPU time of the thread in nanoseconds, as of its last longer sleep or visit of libuv.',
      ],
      ['WAITED_NS', 'Nanoseconds in waits of the driver, which also run sends and receives.'],
      ['WAKES_SENT', 'Wake-ups signalled to other threads.'],
      ['SYSCALLS', 'System calls that the driver made.'],
      ['COMPLETIONS', 'Completions handled.'],
      ['ACCEPTED', 'Connections accepted.'],
      [
        'ACCEPT_STARVED',
        'Times accepting stopped because the process had no descriptor or memory left.',
      ],
      ['REFUSED', 'Connections refused by onConnectionRequest.'],
      ['TABLE_FULL', 'Connections refused because the session table was full.'],
      ['CONNECTED', 'Outbound connections made.'],
      ['CONNECT_FAILED', 'Outbound connections that failed.'],
      ['JOINED', 'onJoin calls.'],
      ['LEFT', 'onLeave calls.'],
      ['MESSAGES_IN', 'Messages handed to onRecv.'],
      ['BYTES_IN', 'Bytes received.'],
      ['MESSAGES_OUT', 'Messages queued, one per recipient.'],
      ['BYTES_OUT', 'Bytes that sockets took.'],
      ['GATHERS', 'Gathered sends submitted.'],
      ['GATHER_SLICES', 'Slices in them.'],
      [
        'FLUSHES',
        'Times the thread took what others had handed over: of a session at most one gather each.',
      ],
      ...gatherSizes.map(
        ([least, most]) =>
          [
            `GATHERS_TO${most}`,
            most === 1
              ? 'Gathers of one slice.'
              : most === 2
                ? 'Gathers of two slices.'
                : `Gathers of ${least} to ${most} slices.`,
          ] as const,
      ),
      ['SHORT_SENDS', 'Sends that the socket took only in part.'],
      ['ZERO_COPY_SENDS', 'Gathers that the kernel took without a copy, or said so at first.'],
      ['ZERO_COPY_COPIED', 'Of them, those of which its notification said that it had copied.'],
      [
        'ZERO_COPY_REFUSED',
        'Gathers for which zero copy failed for lack of memory or support; they were sent again, copied.',
      ],
      [
        'ZERO_COPY_LIMITED',
        'Gathers that were long enough and copied, because the kernel held as much as it may.',
      ],
      [
        'ZERO_COPY_GIVEN_UP',
        'Protocols for which the thread ended zero copy: the kernel copied, or refused, each time.',
      ],
      [
        'SENDS_INLINE',
        'Sends that were over when the call that handed them to the system returned; short ones, too.',
      ],
      ['SENDS_PENDING', 'Sends that waited for room in their socket.'],
      [
        'RECVS_INLINE',
        'Receives of bytes that the receive before, which had filled its buffer, had left in the socket.',
      ],
      ['RECVS_PENDING', 'Receives that waited for bytes.'],
      ['JOBS_BY_REFERENCE', 'Messages handed to update threads in their receive buffer.'],
      ['JOBS_STALLED', 'Times receiving stopped because an update thread had enough to do.'],
      ['TICKS', 'onTick rounds run.'],
      ['TICKS_LATE', 'Ticks that began after the next one was due.'],
      ['TICKS_SKIPPED', 'Ticks left out because they were overdue.'],
      ['OVERFLOW_BYTES', 'Bytes copied to overflow blocks.'],
      ['SEND_FULL', 'Sends refused: the session had maxBackpressure queued.'],
      ['SEND_CLOSED', 'Sends to a session that is closing or gone.'],
      ['SEND_DROPPED', 'Sends refused: no chunk or node was free.'],
      ['FLAG_CONTENDED', 'Send flags found held.'],
      ['CAS_RETRIES', 'Compare-exchanges that had to be repeated.'],
      ['JOBS_RUN', 'Jobs that a job thread has run, those that failed among them.'],
      ['JOBS_FAILED', 'Jobs that threw or rejected.'],
      ['JOBS_FULL', 'Jobs refused: the thread had as many in the queue as it may.'],
      [
        'JOBS_DROPPED',
        'Results dropped: the session that they were for, or the thread that asked, was gone.',
      ],
      [
        'BUFFERS_USED',
        'Receive buffers that the driver does not have, as of its last wait: a level, not a sum.',
      ],
      ['BUFFERS_STARVED', 'Times receiving stopped because no receive buffer was free.'],
      [
        'QUEUE_OVERFLOWS',
        'Times the kernel held completions back because its queue was full (io_uring).',
      ],
      ['FRAMES_COPIED', 'Frames that straddled receive buffers and were copied together.'],
      ['GROUP_FULL', 'Joins refused: the group had as many members as its capacity says.'],
      ['GROUPS_EXHAUSTED', 'Joins refused: as many groups as there may be were alive.'],
      ['OPEN_ABANDONED', 'Reservations left open at the end of a turn.'],
      ['HANDLER_ERRORS', 'Errors that handlers threw or rejected with.'],
      ['SLOTS_RETIRED', 'Slots whose generations are used up.'],
      ...closeReasons.map(
        ([name, doc]) => [`ENDED_${name}`, `Sessions that ended so: ${doc}`] as const,
      ),
    ],
  },
]

/** Codes of errors that are thrown to whoever can mend the call. */
export const errorCodes: readonly (readonly [code: string, doc: string])[] = [
  [
    'ERR_OPTION_UNKNOWN',
    'An option, flag or key that does not exist; the nearest known one is named.',
  ],
  ['ERR_OPTION_TYPE', 'An option of the wrong type.'],
  ['ERR_OPTION_RANGE', 'An option whose value is not allowed.'],
  ['ERR_CONFIG_FILE', 'A configuration file that cannot be read or parsed.'],
  ['ERR_ARGUMENT', 'A method was called with an argument that is not allowed.'],
  ['ERR_HANDLER_LOAD', 'The handler module cannot be loaded.'],
  [
    'ERR_HANDLER_SHAPE',
    'The handler module has no default export made by defineHandler, or one with an unknown event.',
  ],
  ['ERR_LISTEN', 'The address cannot be listened on.'],
  ['ERR_ADDRESS_IN_USE', 'Another socket listens at the address.'],
  ['ERR_ADDRESS_UNAVAILABLE', 'The host is not an address of this machine, or cannot be resolved.'],
  [
    'ERR_PERMISSION',
    'The system does not allow it: a port below net.ipv4.ip_unprivileged_port_start, or a socket file.',
  ],
  ['ERR_DRIVER_UNAVAILABLE', 'The driver asked for cannot be used here.'],
  ['ERR_PORT_THREADS', 'A completion port is open in as many threads as it was made for.'],
  ['ERR_PORT_STATE', 'A call that a thread cannot make in its state on a completion port.'],
  ['ERR_JOBS_FULL', 'runtime.jobs.run(): the thread has as many jobs in the queue as it may.'],
  ['ERR_JOB_UNKNOWN', 'runtime.jobs.run(): the jobs module has no job of this name.'],
  ['ERR_SESSION_GONE', 'The session that a job was run for had left when its result came.'],
  ['ERR_JOBS_LOAD', 'The jobs module cannot be loaded.'],
  ['ERR_JOBS_SHAPE', 'The jobs module has no default export made by defineJobs.'],
  ['ERR_ADDON_MISSING', 'The native addon is not built.'],
  ['ERR_LAYOUT_MISMATCH', 'The native addon was built from another memory layout.'],
  [
    'ERR_MEMORY_PLAN',
    'The arena is too small: for the options, or for what is queued when no chunk is free.',
  ],
  ['ERR_SERVER_STATE', 'The call is not possible in the state that the server is in.'],
  ['ERR_WORKER_LOST', 'A worker thread ended.'],
  ['ERR_PACKET_EXPIRED', 'A packet was used after its handler returned.'],
  ['ERR_BUFFER_RELEASED', 'A send buffer was used after it was released.'],
  ['ERR_PIN_RELEASED', 'A pin was used after unpin().'],
  ['ERR_OPEN_NESTED', 'A second reservation was opened before the first was closed.'],
  ['ERR_SESSION_TABLE_FULL', 'No slot is free for an outbound session.'],
  ['ERR_PROTOCOL_TABLE_FULL', 'connect() was given more different protocols than a runtime has.'],
  ['ERR_CONNECT', 'An outbound connection was not made; the message names the native error.'],
  ['ERR_CONNECT_REFUSED', 'Nobody listens at the address.'],
  ['ERR_CONNECT_UNREACHABLE', 'There is no way to the address.'],
  ['ERR_CONNECT_TIMED_OUT', 'The connection was not made within `timeout`, or the system gave up.'],
  [
    'ERR_CONNECT_ABORTED',
    'The signal that connect() was given was aborted; `cause` is its reason.',
  ],
  ['ERR_NAME_NOT_FOUND', 'The host name cannot be resolved.'],
  [
    'ERR_PAYLOAD_TOO_LONG',
    'A payload is longer than the framing can say or maxPayloadLength allows.',
  ],
]
