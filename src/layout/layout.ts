// What: offsets, enums, constants and codes of the shared memory. Generated from src/layout/schema.ts by `npm run generate`; do not edit.
// Flow: schema.ts -> this -> everything in src/ and workers/.
// Thread: any.

/** Hash of the schema; the addon carries the same. */
export const LAYOUT_HASH = -1915885270

/** First word of the control memory ("OVLP"). */
export const MAGIC = 1331055696
/** 64-byte cache lines, in 32-bit words. */
export const CACHE_LINE_WORDS = 16
/** Threads of one runtime: main, workers, send threads, the acceptor, update threads, job threads. */
export const THREADS_MAX = 256
/** Bits of a session id (and of user_data) that name the slot. */
export const SLOT_BITS = 20
/** Most sessions of one runtime: 2^20 - 1, what SLOT_BITS can say. */
export const SESSIONS_MAX = 1048575
/** Listeners and outbound protocols of one runtime. */
export const LISTENERS_MAX = 256
/** Longest name of a group, in bytes of UTF-8. */
export const GROUP_NAME_BYTES_MAX = 64
/** Most groups alive at once: the directory is looked through by whoever makes one. */
export const GROUPS_MAX = 65535
/** Length prefix: the length has its low byte first. */
export const PROTOCOL_FLAG_LITTLE_ENDIAN = 1
/** Length prefix: the length counts the header too. */
export const PROTOCOL_FLAG_INCLUDES_HEADER = 2
/** Delimiter: the handler gets payloads without it. */
export const PROTOCOL_FLAG_STRIP = 4
/** closeMode is `reset`. */
export const PROTOCOL_FLAG_RESET_ON_CLOSE = 8
/** TCP_NODELAY. */
export const PROTOCOL_FLAG_NO_DELAY = 16
/** Most slices in one gathered send: UIO_MAXIOV, uio(7). */
export const GATHER_MAX = 1024
/** Bit of the I/O count: the session is released, no pin succeeds any more. */
export const IO_RELEASED = 1073741824
/** Bit of a lock word beside the holder: somebody may sleep until it is given back. */
export const LOCK_WAITED = 65536
/** Last generation of a slot; after it the slot is retired. */
export const GENERATION_MAX = 4294967295
/** Words of a SEND submission before its (offset, length) pairs. */
export const SEND_HEADER_WORDS = 4
/** SEND completes at once with what the socket took (MSG_DONTWAIT). */
export const SEND_FLAG_NOW = 1
/** The completion of a SEND that was taken whole may be reported when the next wait ends. */
export const SEND_FLAG_LAZY = 2
/** The kernel may read the bytes of a SEND where they lie; only with SEND_FLAG_NOW. A driver that cannot do so copies them. */
export const SEND_FLAG_ZERO_COPY = 4
/** Bits 3-6 of the flags of a SEND with SEND_FLAG_ZERO_COPY: its number, which comes back with NOTIFIED. */
export const SEND_NUMBER_SHIFT = 3
/** Most NOTIFIED completions that may be outstanding for a session: what 4 bits can number. */
export const NOTIFICATIONS_MAX = 16
/** Word `handle` of a session whose owner has ended and closed its socket. */
export const HANDLE_LOST = -1
/** CLOSE sends RST (SO_LINGER with time 0) instead of FIN. */
export const CLOSE_FLAG_RESET = 1
/** Close the session. */
export const SESSION_REQUEST_CLOSE = 1
/** Reset the session. */
export const SESSION_REQUEST_TERMINATE = 2
/** Its content has handled everything up to END: go on closing. */
export const SESSION_REQUEST_END = 4
/** The word `paused` has changed. */
export const SESSION_REQUEST_FLOW = 8
/** Its content moves to another update thread. */
export const SESSION_REQUEST_MOVE = 16
/** The update thread that it moved to has it. */
export const SESSION_REQUEST_MOVED = 32
/** Its send thread has sent everything and ended the stream. */
export const SESSION_REQUEST_FLUSHED = 64
/** Its send thread found that the peer has reset the connection. */
export const SESSION_REQUEST_SEND_RESET = 128
/** A send of its send thread failed otherwise. */
export const SESSION_REQUEST_SEND_FAILED = 256
/** The heap of its send thread is full, and this session has most of it. */
export const SESSION_REQUEST_OVERFLOW = 512
/** No further completion follows for this receive operation. */
export const COMPLETION_FLAG_TERMINAL = 1
/** Of SEND: NOTIFIED follows, and until then the kernel may read what it has taken. */
export const COMPLETION_FLAG_NOTIFIES = 2
/** Of NOTIFIED: the kernel has copied the bytes after all. */
export const COMPLETION_FLAG_COPIED = 4
/** Threads that may have one completion port open. */
export const PORT_THREADS_MAX = 256
/** In a place of a completion port: it is being given away by this thread. */
export const PORT_GRANTING = 65536

/** Head of the control memory: the plan of everything behind it. `_at` words are indices in words from its start, `_byte_at` bytes from the start of the arena. Size in words. */
export const CONTROL_WORDS = 64
export const CONTROL_MAGIC = 0
export const CONTROL_LAYOUT_HASH = 1
export const CONTROL_THREAD_COUNT = 2
export const CONTROL_WORKER_COUNT = 3
export const CONTROL_DRIVER_COUNT = 4
export const CONTROL_ACCEPTOR_THREAD = 5
export const CONTROL_UPDATE_FIRST = 6
export const CONTROL_UPDATE_COUNT = 7
export const CONTROL_JOB_FIRST = 8
export const CONTROL_JOB_COUNT = 9
export const CONTROL_SESSION_CAPACITY = 10
export const CONTROL_SESSIONS_PER_WORKER = 11
export const CONTROL_NODES_PER_THREAD = 12
export const CONTROL_CHUNK_COUNT = 13
export const CONTROL_CHUNK_BYTES = 14
export const CONTROL_RECV_BUFFERS_PER_WORKER = 15
export const CONTROL_RECV_BUFFER_BYTES = 16
export const CONTROL_RECV_BUFFER_STRIDE = 17
export const CONTROL_HEAP_BYTES_PER_WORKER = 18
export const CONTROL_COMPLETION_CAPACITY = 19
export const CONTROL_SUBMISSION_WORDS = 20
export const CONTROL_THREADS_AT = 21
export const CONTROL_SESSIONS_AT = 22
export const CONTROL_NODES_AT = 23
export const CONTROL_CHUNK_BITMAP_AT = 24
export const CONTROL_CHUNK_REFS_AT = 25
export const CONTROL_COMPLETIONS_AT = 26
export const CONTROL_SUBMISSIONS_AT = 27
export const CONTROL_JOB_RINGS_AT = 28
export const CONTROL_JOB_RING_CAPACITY = 29
export const CONTROL_GROUPS_AT = 30
export const CONTROL_GROUP_MAX = 31
export const CONTROL_GROUP_CAPACITY = 32
export const CONTROL_LIVE_SLOTS_AT = 33
export const CONTROL_COUNTERS_AT = 34
export const CONTROL_PROTOCOLS_AT = 35
export const CONTROL_CONTROL_WORDS = 36
export const CONTROL_SENT_WANTED = 37
export const CONTROL_SESSIONS_OPENED = 38
export const CONTROL_RECV_BYTE_AT = 39
export const CONTROL_HEAP_BYTE_AT = 40
export const CONTROL_CHUNK_BYTE_AT = 41
export const CONTROL_JOB_BYTE_AT = 42
export const CONTROL_JOB_BYTES_PER_RING = 43
export const CONTROL_ARENA_BYTES = 44
export const CONTROL_ZERO_COPY_BYTES = 45
export const CONTROL_ZERO_COPY_IS_AUTO = 46
export const CONTROL_POISON = 47
export const CONTROL_PROTOCOL_COUNT = 48

/** One block per thread: the words by which other threads reach it. Size in words. */
export const THREAD_WORDS = 160
export const THREAD_PARKED = 0
export const THREAD_FLUSH_HEAD = 16
export const THREAD_RELEASE_HEAD = 32
export const THREAD_REQUEST_HEAD = 48
export const THREAD_DOORBELL = 64
export const THREAD_NODE_RETURN_HEAD = 80
export const THREAD_ASSIGNED_SESSIONS = 96
export const THREAD_THREAD_STATE = 97
export const THREAD_COMPLETION_HEAD = 112
export const THREAD_COMPLETION_TAIL = 128
export const THREAD_LOCAL_PENDING = 144
export const THREAD_DEAF = 145
export const THREAD_RECEIVE_INTERVAL_MS = 146
export const THREAD_SUBMISSION_USED = 147
export const THREAD_TURN_AT_MS = 148

/** One slot of the session table: three cache lines, by who writes them. Size in words. */
export const SESSION_WORDS = 48
export const SESSION_GENERATION = 0
export const SESSION_STATE = 1
export const SESSION_LISTENER = 2
export const SESSION_OWNER = 3
export const SESSION_TAG = 4
export const SESSION_SENDER = 5
export const SESSION_CONTENT = 6
export const SESSION_HANDLE = 7
export const SESSION_PEER_PORT = 8
export const SESSION_PEER_0 = 9
export const SESSION_PEER_1 = 10
export const SESSION_PEER_2 = 11
export const SESSION_PEER_3 = 12
export const SESSION_IO_COUNT = 16
export const SESSION_RELEASE_LINK = 17
export const SESSION_REQUEST = 18
export const SESSION_REQUEST_LINK = 19
export const SESSION_PAUSED = 20
export const SESSION_CLOSE_REASON = 21
export const SESSION_MOVE_TO = 22
export const SESSION_SEND_HEAD = 32
export const SESSION_SEND_FLAG = 33
export const SESSION_FLUSH_LINK = 34
export const SESSION_QUEUED_BYTES = 35
export const SESSION_DRAIN_WANTED = 36
export const SESSION_LANE_WANTED = 37
export const SESSION_STREAM_ENDED = 38
export const SESSION_HANDED_NODE = 39

/** Head and tail of a job ring, from a thread with a driver to an update thread. Size in words. */
export const JOB_RING_WORDS = 32
export const JOB_RING_TAIL = 0
export const JOB_RING_HEAD = 16
export const JOB_RING_SPACE_WANTED = 17

/** A record of a job ring; JobKind says what the words are. Size in words. */
export const JOB_WORDS = 4
export const JOB_KIND_SLOT = 0
export const JOB_FIRST = 1
export const JOB_SECOND = 2

/** A protocol that connect() was given: what another thread must know to send to its sessions or to receive for them. Size in words. */
export const PROTOCOL_WORDS = 16
export const PROTOCOL_PUBLISHED = 0
export const PROTOCOL_FRAMING = 1
export const PROTOCOL_FLAGS = 2
export const PROTOCOL_MARKER_BYTES = 3
export const PROTOCOL_PREFIX_OFFSET = 4
export const PROTOCOL_DELIMITER_0 = 5
export const PROTOCOL_DELIMITER_1 = 6
export const PROTOCOL_DELIMITER_2 = 7
export const PROTOCOL_DELIMITER_3 = 8
export const PROTOCOL_MAX_PAYLOAD_LENGTH = 9
export const PROTOCOL_SEND_BUFFER_BYTES = 10
export const PROTOCOL_RECEIVE_BUFFER_BYTES = 11

/** A slice of memory waiting to be sent to one session. Size in words. */
export const NODE_WORDS = 4
export const NODE_NEXT = 0
export const NODE_OFFSET = 1
export const NODE_LENGTH = 2
export const NODE_BLOCK = 3

/** One finished operation, as the driver reports it. Size in words. */
export const COMPLETION_WORDS = 8
export const COMPLETION_KIND = 0
export const COMPLETION_FLAGS = 1
export const COMPLETION_SLOT = 2
export const COMPLETION_GENERATION = 3
export const COMPLETION_STATUS = 4
export const COMPLETION_RESULT = 5
export const COMPLETION_OFFSET = 6
export const COMPLETION_BUFFER = 7

/** Head of the groups: who may change which groups there are. Size in words. */
export const GROUP_DIRECTORY_WORDS = 48
export const GROUP_DIRECTORY_LOCK = 0
export const GROUP_DIRECTORY_VERSION = 16
export const GROUP_DIRECTORY_ALIVE = 17
export const GROUP_DIRECTORY_USED = 32
export const GROUP_DIRECTORY_FREE_FIRST = 33
export const GROUP_DIRECTORY_FREE_LAST = 34

/** One entry for a group; the words of its name are the last. Size in words. */
export const GROUP_WORDS = 48
export const GROUP_GENERATION = 0
export const GROUP_NEXT = 1
export const GROUP_CAPACITY = 2
export const GROUP_BUCKET = 3
export const GROUP_FREE_LINK = 4
export const GROUP_MEMBERS = 16
export const GROUP_NAME_LENGTH = 17
export const GROUP_NAME = 18

/** Head of the memory of a completion port, which is a SharedArrayBuffer of its own. `_at` words are indices in words from its start. Size in words. */
export const PORT_WORDS = 80
export const PORT_HASH = 0
export const PORT_THREADS = 1
export const PORT_LIMIT = 2
export const PORT_CAPACITY = 3
export const PORT_ENTRY_BYTES = 4
export const PORT_QUEUE_BITS = 5
export const PORT_PLACES_AT = 6
export const PORT_THREADS_AT = 7
export const PORT_CELLS_AT = 8
export const PORT_ENTRIES_AT = 9
export const PORT_PAYLOAD_BYTE_AT = 10
export const PORT_TAIL = 16
export const PORT_HEAD = 32
export const PORT_WAITS = 48
export const PORT_THREADS_USED = 64

/** One block per thread that has a completion port open. Size in words. */
export const PORT_THREAD_WORDS = 64
export const PORT_THREAD_STATE = 0
export const PORT_THREAD_RETURN_HEAD = 16
export const PORT_THREAD_DIRECT_HEAD = 32
export const PORT_THREAD_FREE_ENTRY = 48
export const PORT_THREAD_FRESH_ENTRIES = 49
export const PORT_THREAD_HOLDING = 50
export const PORT_THREAD_KEY = 51

/** What was posted to a completion port. Size in words. */
export const PORT_ENTRY_WORDS = 5
export const PORT_ENTRY_LINK = 0
export const PORT_ENTRY_NEXT = 1
export const PORT_ENTRY_KEY = 2
export const PORT_ENTRY_VALUE = 3
export const PORT_ENTRY_LENGTH = 4

/** What a thread does with a completion port. */
export const PortThreadState = {
  /** No thread has this block. */
  ABSENT: 0,
  /** It has the port open, does not wait and has nothing from it. */
  OUTSIDE: 1,
  /** It waits, or is about to. */
  WAITING: 2,
  /** It was given a place and has not woken yet. */
  CHOSEN: 3,
  /** It has something from the port and a place. */
  RUNNING: 4,
  /** It came back from blocking when all places were taken: it runs without one. */
  OVER: 5,
  /** It has something from the port and says that it blocks. */
  PAUSED: 6,
} as const
export type PortThreadState = (typeof PortThreadState)[keyof typeof PortThreadState]
export const PORT_THREAD_STATE_COUNT = 7
/** Names of PortThreadState, by value. */
export const PORT_THREAD_STATE_NAMES: readonly string[] = [
  'absent',
  'outside',
  'waiting',
  'chosen',
  'running',
  'over',
  'paused',
]

/** What finished. */
export const CompletionKind = {
  /** A connection was accepted and waits to be attached or refused. */
  ACCEPT: 1,
  /** Bytes arrived, the peer ended its stream, or receiving ended. */
  RECV: 2,
  /** A gathered send finished, in whole or in part. */
  SEND: 3,
  /** An outbound connection was made or failed. */
  CONNECT: 4,
  /** The peer of a paused session closed or reset its connection. */
  PEER_GONE: 5,
  /** Receiving stopped on request and can be started again. */
  PAUSED: 6,
  /** The kernel reads the bytes of a zero-copy SEND no more; result is its number. */
  NOTIFIED: 7,
} as const
export type CompletionKind = (typeof CompletionKind)[keyof typeof CompletionKind]
export const COMPLETION_KIND_COUNT = 8
/** Names of CompletionKind, by value. */
export const COMPLETION_KIND_NAMES: readonly string[] = [
  '',
  'accept',
  'recv',
  'send',
  'connect',
  'peerGone',
  'paused',
  'notified',
]

/** First word of a submission, bits 0-7; bits 8-15 are flags, bits 16-31 a count. */
export const SubmissionOp = {
  /** slot, generation, total bytes, then count pairs of offset and length. */
  SEND: 1,
  /** slot, generation, token: the socket in transit becomes the slot's. */
  ATTACH: 2,
  /** token: the socket in transit is reset. */
  REFUSE: 3,
  /** slot, generation: start (or start again) receiving. */
  RECV: 4,
  /** slot, generation: stop receiving, watch for the peer leaving. */
  PAUSE: 5,
  /** slot, generation: end every pending operation of the slot. */
  CANCEL: 6,
  /** slot, generation: no more sends; FIN follows what was taken. */
  SHUTDOWN: 7,
  /** slot, generation: close the handle. Nothing may be pending but a peer watch. */
  CLOSE: 8,
  /** slot, generation, token: connect the prepared socket. */
  CONNECT: 9,
  /** count receive buffer indices. */
  BUFFER_RETURN: 10,
  /** slot, generation: this thread sends on the socket that the owner's driver has attached (word `handle`). */
  BORROW: 11,
  /** slot, generation: it does not any more. No send of it may be pending. */
  GIVE_BACK: 12,
} as const
export type SubmissionOp = (typeof SubmissionOp)[keyof typeof SubmissionOp]
export const SUBMISSION_OP_COUNT = 13
/** Names of SubmissionOp, by value. */
export const SUBMISSION_OP_NAMES: readonly string[] = [
  '',
  'send',
  'attach',
  'refuse',
  'recv',
  'pause',
  'cancel',
  'shutdown',
  'close',
  'connect',
  'bufferReturn',
  'borrow',
  'giveBack',
]

/** Outcome of an operation, the same on every driver; native errors are mapped once, in the driver. */
export const IoStatus = {
  /** It succeeded. */
  OK: 0,
  /** The peer sent FIN: nothing more will be received. */
  END_OF_STREAM: 1,
  /** The peer reset the connection. */
  RESET: 2,
  /** It was cancelled from this side. */
  CANCELLED: 3,
  /** Nobody listens at the address. */
  REFUSED: 4,
  /** There is no way to the address. */
  UNREACHABLE: 5,
  /** The peer did not answer in time. */
  TIMED_OUT: 6,
  /** The local address is taken. */
  ADDRESS_IN_USE: 7,
  /** The local address does not exist, or no port is free. */
  ADDRESS_UNAVAILABLE: 8,
  /** The system does not allow it. */
  NO_PERMISSION: 9,
  /** The system is out of descriptors or memory. */
  NO_RESOURCES: 10,
  /** The system, or this kind of socket, cannot do it. */
  NOT_SUPPORTED: 11,
  /** Anything else; the native number is in the log. */
  UNKNOWN: 12,
} as const
export type IoStatus = (typeof IoStatus)[keyof typeof IoStatus]
export const IO_STATUS_COUNT = 13
/** Names of IoStatus, by value. */
export const IO_STATUS_NAMES: readonly string[] = [
  'ok',
  'endOfStream',
  'reset',
  'cancelled',
  'refused',
  'unreachable',
  'timedOut',
  'addressInUse',
  'addressUnavailable',
  'noPermission',
  'noResources',
  'notSupported',
  'unknown',
]

/** Life of a slot; transitions are drawn in docs/protocols/session.md. */
export const SessionState = {
  /** Nobody uses the slot. */
  FREE: 0,
  /** Receives and sends. */
  OPEN: 1,
  /** Takes no new sends; flushes, then ends the stream and waits for the peer. */
  CLOSING: 2,
  /** Everything pending is being cancelled. */
  TERMINATING: 3,
  /** The I/O count fell to 0; the handle is being closed. */
  RELEASED: 4,
  /** Every generation was used; the slot is not used again. */
  RETIRED: 5,
} as const
export type SessionState = (typeof SessionState)[keyof typeof SessionState]
export const SESSION_STATE_COUNT = 6
/** Names of SessionState, by value. */
export const SESSION_STATE_NAMES: readonly string[] = [
  'free',
  'open',
  'closing',
  'terminating',
  'released',
  'retired',
]

/** Kind of a framing in the protocol table. */
export const FramingKind = {
  /** A length before each payload. */
  LENGTH_PREFIX: 1,
  /** A byte sequence after each payload. */
  DELIMITER: 2,
  /** No messages. */
  RAW: 3,
} as const
export type FramingKind = (typeof FramingKind)[keyof typeof FramingKind]
export const FRAMING_KIND_COUNT = 4
/** Names of FramingKind, by value. */
export const FRAMING_KIND_NAMES: readonly string[] = [
  '',
  'lengthPrefix',
  'delimiter',
  'raw',
]

/** What a record of a job ring says; the first word of a record is kind | slot << 8. */
export const JobKind = {
  /** generation, protocol: a session that this thread runs the content of. */
  JOIN: 1,
  /** generation, number of the connect() that made it: before its JOIN. */
  CONNECTED: 2,
  /** offset, length of a payload in the arena: a message. */
  RECV: 3,
  /** CloseReason: nothing more is received; asks to be closed when all before it is handled. */
  END: 4,
  /** generation: half of maxBackpressure is free again. */
  DRAIN: 5,
  /** generation, bytes: a gather was taken by the socket. */
  SENT: 6,
  /** the session goes to the update thread that it asked for. */
  MOVE: 7,
  /** CloseReason: the I/O count fell to 0; asks for the slot back when onLeave has returned. */
  LEAVE: 8,
} as const
export type JobKind = (typeof JobKind)[keyof typeof JobKind]
export const JOB_KIND_COUNT = 9
/** Names of JobKind, by value. */
export const JOB_KIND_NAMES: readonly string[] = [
  '',
  'join',
  'connected',
  'recv',
  'end',
  'drain',
  'sent',
  'move',
  'leave',
]

/** What a thread is doing. */
export const ThreadState = {
  /** Not started. */
  ABSENT: 0,
  /** Takes work. */
  RUNNING: 1,
  /** Takes no new sessions. */
  STOPPING: 2,
  /** Ended; its sessions are closed. */
  GONE: 3,
} as const
export type ThreadState = (typeof ThreadState)[keyof typeof ThreadState]
export const THREAD_STATE_COUNT = 4
/** Names of ThreadState, by value. */
export const THREAD_STATE_NAMES: readonly string[] = [
  'absent',
  'running',
  'stopping',
  'gone',
]

/** Why a session ended: given to onLeave, counted per reason. */
export const CloseReason = {
  /** It has not ended. */
  NONE: 0,
  /** The peer ended its stream. */
  PEER_CLOSED: 1,
  /** The peer reset the connection. */
  PEER_RESET: 2,
  /** session.close() or runtime.close(). */
  LOCAL_CLOSE: 3,
  /** session.terminate(). */
  LOCAL_TERMINATE: 4,
  /** onConnectionRequest returned false. */
  REFUSED: 5,
  /** maxSessions sessions were open. */
  TABLE_FULL: 6,
  /** A frame announced, or grew to, more than maxPayloadLength. */
  FRAME_TOO_LONG: 7,
  /** A header that cannot be: a length below the header it includes. */
  FRAME_INVALID: 8,
  /** The handler threw or rejected. */
  HANDLER_ERROR: 9,
  /** Nothing was received for idleTimeout. */
  IDLE_TIMEOUT: 10,
  /** No message came within firstMessageTimeout. */
  FIRST_MESSAGE_TIMEOUT: 11,
  /** The peer did not end its stream within closeTimeout. */
  CLOSE_TIMEOUT: 12,
  /** The memory for unsent bytes or partial frames ran out and this session held the most. */
  OVERFLOW: 13,
  /** The server stopped. */
  SERVER_STOP: 14,
  /** The worker that owned the session ended. */
  WORKER_LOST: 15,
  /** The outbound connection was not made. */
  CONNECT_FAILED: 16,
  /** The system reported an error that has no reason of its own. */
  IO_ERROR: 17,
} as const
export type CloseReason = (typeof CloseReason)[keyof typeof CloseReason]
export const CLOSE_REASON_COUNT = 18
/** Names of CloseReason, by value. */
export const CLOSE_REASON_NAMES: readonly string[] = [
  'none',
  'peerClosed',
  'peerReset',
  'localClose',
  'localTerminate',
  'refused',
  'tableFull',
  'frameTooLong',
  'frameInvalid',
  'handlerError',
  'idleTimeout',
  'firstMessageTimeout',
  'closeTimeout',
  'overflow',
  'serverStop',
  'workerLost',
  'connectFailed',
  'ioError',
]

/** Counters of a thread: float64 each (exact to 2^53), one writer, never reset. */
export const Counter = {
  /** Turns of the loop. */
  TURNS: 0,
  /** Times the thread slept. */
  SLEEPS: 1,
  /** CPU time of the thread in nanoseconds, as of its last longer sleep or visit of libuv. */
  CPU_NS: 2,
  /** Nanoseconds in waits of the driver, which also run sends and receives. */
  WAITED_NS: 3,
  /** Wake-ups signalled to other threads. */
  WAKES_SENT: 4,
  /** System calls that the driver made. */
  SYSCALLS: 5,
  /** Completions handled. */
  COMPLETIONS: 6,
  /** Connections accepted. */
  ACCEPTED: 7,
  /** Times accepting stopped because the process had no descriptor or memory left. */
  ACCEPT_STARVED: 8,
  /** Connections refused by onConnectionRequest. */
  REFUSED: 9,
  /** Connections refused because the session table was full. */
  TABLE_FULL: 10,
  /** Outbound connections made. */
  CONNECTED: 11,
  /** Outbound connections that failed. */
  CONNECT_FAILED: 12,
  /** onJoin calls. */
  JOINED: 13,
  /** onLeave calls. */
  LEFT: 14,
  /** Messages handed to onRecv. */
  MESSAGES_IN: 15,
  /** Bytes received. */
  BYTES_IN: 16,
  /** Messages queued, one per recipient. */
  MESSAGES_OUT: 17,
  /** Bytes that sockets took. */
  BYTES_OUT: 18,
  /** Gathered sends submitted. */
  GATHERS: 19,
  /** Slices in them. */
  GATHER_SLICES: 20,
  /** Times the thread took what others had handed over: of a session at most one gather each. */
  FLUSHES: 21,
  /** Gathers of one slice. */
  GATHERS_TO1: 22,
  /** Gathers of two slices. */
  GATHERS_TO2: 23,
  /** Gathers of 3 to 4 slices. */
  GATHERS_TO4: 24,
  /** Gathers of 5 to 8 slices. */
  GATHERS_TO8: 25,
  /** Gathers of 9 to 16 slices. */
  GATHERS_TO16: 26,
  /** Gathers of 17 to 32 slices. */
  GATHERS_TO32: 27,
  /** Gathers of 33 to 64 slices. */
  GATHERS_TO64: 28,
  /** Gathers of 65 to 128 slices. */
  GATHERS_TO128: 29,
  /** Gathers of 129 to 256 slices. */
  GATHERS_TO256: 30,
  /** Gathers of 257 to 512 slices. */
  GATHERS_TO512: 31,
  /** Gathers of 513 to 1024 slices. */
  GATHERS_TO1024: 32,
  /** Sends that the socket took only in part. */
  SHORT_SENDS: 33,
  /** Gathers that the kernel took without a copy, or said so at first. */
  ZERO_COPY_SENDS: 34,
  /** Of them, those of which its notification said that it had copied. */
  ZERO_COPY_COPIED: 35,
  /** Gathers for which zero copy failed for lack of memory or support; they were sent again, copied. */
  ZERO_COPY_REFUSED: 36,
  /** Gathers that were long enough and copied, because the kernel held as much as it may. */
  ZERO_COPY_LIMITED: 37,
  /** Protocols for which the thread ended zero copy: the kernel copied, or refused, each time. */
  ZERO_COPY_GIVEN_UP: 38,
  /** Sends that were over when the call that handed them to the system returned; short ones, too. */
  SENDS_INLINE: 39,
  /** Sends that waited for room in their socket. */
  SENDS_PENDING: 40,
  /** Receives of bytes that the receive before, which had filled its buffer, had left in the socket. */
  RECVS_INLINE: 41,
  /** Receives that waited for bytes. */
  RECVS_PENDING: 42,
  /** Messages handed to update threads in their receive buffer. */
  JOBS_BY_REFERENCE: 43,
  /** Times receiving stopped because an update thread had enough to do. */
  JOBS_STALLED: 44,
  /** onTick rounds run. */
  TICKS: 45,
  /** Ticks that began after the next one was due. */
  TICKS_LATE: 46,
  /** Ticks left out because they were overdue. */
  TICKS_SKIPPED: 47,
  /** Bytes copied to overflow blocks. */
  OVERFLOW_BYTES: 48,
  /** Sends refused: the session had maxBackpressure queued. */
  SEND_FULL: 49,
  /** Sends to a session that is closing or gone. */
  SEND_CLOSED: 50,
  /** Sends refused: no chunk or node was free. */
  SEND_DROPPED: 51,
  /** Send flags found held. */
  FLAG_CONTENDED: 52,
  /** Compare-exchanges that had to be repeated. */
  CAS_RETRIES: 53,
  /** Jobs that a job thread has run, those that failed among them. */
  JOBS_RUN: 54,
  /** Jobs that threw or rejected. */
  JOBS_FAILED: 55,
  /** Jobs refused: the thread had as many in the queue as it may. */
  JOBS_FULL: 56,
  /** Results dropped: the session that they were for, or the thread that asked, was gone. */
  JOBS_DROPPED: 57,
  /** Receive buffers that the driver does not have, as of its last wait: a level, not a sum. */
  BUFFERS_USED: 58,
  /** Times receiving stopped because no receive buffer was free. */
  BUFFERS_STARVED: 59,
  /** Times the kernel held completions back because its queue was full (io_uring). */
  QUEUE_OVERFLOWS: 60,
  /** Frames that straddled receive buffers and were copied together. */
  FRAMES_COPIED: 61,
  /** Joins refused: the group had as many members as its capacity says. */
  GROUP_FULL: 62,
  /** Joins refused: as many groups as there may be were alive. */
  GROUPS_EXHAUSTED: 63,
  /** Reservations left open at the end of a turn. */
  OPEN_ABANDONED: 64,
  /** Errors that handlers threw or rejected with. */
  HANDLER_ERRORS: 65,
  /** Slots whose generations are used up. */
  SLOTS_RETIRED: 66,
  /** Sessions that ended so: It has not ended. */
  ENDED_NONE: 67,
  /** Sessions that ended so: The peer ended its stream. */
  ENDED_PEER_CLOSED: 68,
  /** Sessions that ended so: The peer reset the connection. */
  ENDED_PEER_RESET: 69,
  /** Sessions that ended so: session.close() or runtime.close(). */
  ENDED_LOCAL_CLOSE: 70,
  /** Sessions that ended so: session.terminate(). */
  ENDED_LOCAL_TERMINATE: 71,
  /** Sessions that ended so: onConnectionRequest returned false. */
  ENDED_REFUSED: 72,
  /** Sessions that ended so: maxSessions sessions were open. */
  ENDED_TABLE_FULL: 73,
  /** Sessions that ended so: A frame announced, or grew to, more than maxPayloadLength. */
  ENDED_FRAME_TOO_LONG: 74,
  /** Sessions that ended so: A header that cannot be: a length below the header it includes. */
  ENDED_FRAME_INVALID: 75,
  /** Sessions that ended so: The handler threw or rejected. */
  ENDED_HANDLER_ERROR: 76,
  /** Sessions that ended so: Nothing was received for idleTimeout. */
  ENDED_IDLE_TIMEOUT: 77,
  /** Sessions that ended so: No message came within firstMessageTimeout. */
  ENDED_FIRST_MESSAGE_TIMEOUT: 78,
  /** Sessions that ended so: The peer did not end its stream within closeTimeout. */
  ENDED_CLOSE_TIMEOUT: 79,
  /** Sessions that ended so: The memory for unsent bytes or partial frames ran out and this session held the most. */
  ENDED_OVERFLOW: 80,
  /** Sessions that ended so: The server stopped. */
  ENDED_SERVER_STOP: 81,
  /** Sessions that ended so: The worker that owned the session ended. */
  ENDED_WORKER_LOST: 82,
  /** Sessions that ended so: The outbound connection was not made. */
  ENDED_CONNECT_FAILED: 83,
  /** Sessions that ended so: The system reported an error that has no reason of its own. */
  ENDED_IO_ERROR: 84,
} as const
export type Counter = (typeof Counter)[keyof typeof Counter]
export const COUNTER_COUNT = 85
/** Names of Counter, by value. */
export const COUNTER_NAMES: readonly string[] = [
  'turns',
  'sleeps',
  'cpuNs',
  'waitedNs',
  'wakesSent',
  'syscalls',
  'completions',
  'accepted',
  'acceptStarved',
  'refused',
  'tableFull',
  'connected',
  'connectFailed',
  'joined',
  'left',
  'messagesIn',
  'bytesIn',
  'messagesOut',
  'bytesOut',
  'gathers',
  'gatherSlices',
  'flushes',
  'gathersTo1',
  'gathersTo2',
  'gathersTo4',
  'gathersTo8',
  'gathersTo16',
  'gathersTo32',
  'gathersTo64',
  'gathersTo128',
  'gathersTo256',
  'gathersTo512',
  'gathersTo1024',
  'shortSends',
  'zeroCopySends',
  'zeroCopyCopied',
  'zeroCopyRefused',
  'zeroCopyLimited',
  'zeroCopyGivenUp',
  'sendsInline',
  'sendsPending',
  'recvsInline',
  'recvsPending',
  'jobsByReference',
  'jobsStalled',
  'ticks',
  'ticksLate',
  'ticksSkipped',
  'overflowBytes',
  'sendFull',
  'sendClosed',
  'sendDropped',
  'flagContended',
  'casRetries',
  'jobsRun',
  'jobsFailed',
  'jobsFull',
  'jobsDropped',
  'buffersUsed',
  'buffersStarved',
  'queueOverflows',
  'framesCopied',
  'groupFull',
  'groupsExhausted',
  'openAbandoned',
  'handlerErrors',
  'slotsRetired',
  'endedNone',
  'endedPeerClosed',
  'endedPeerReset',
  'endedLocalClose',
  'endedLocalTerminate',
  'endedRefused',
  'endedTableFull',
  'endedFrameTooLong',
  'endedFrameInvalid',
  'endedHandlerError',
  'endedIdleTimeout',
  'endedFirstMessageTimeout',
  'endedCloseTimeout',
  'endedOverflow',
  'endedServerStop',
  'endedWorkerLost',
  'endedConnectFailed',
  'endedIoError',
]

/** Codes of OverlappedError. */
export type ErrorCode =
  | 'ERR_OPTION_UNKNOWN'
  | 'ERR_OPTION_TYPE'
  | 'ERR_OPTION_RANGE'
  | 'ERR_CONFIG_FILE'
  | 'ERR_ARGUMENT'
  | 'ERR_HANDLER_LOAD'
  | 'ERR_HANDLER_SHAPE'
  | 'ERR_LISTEN'
  | 'ERR_ADDRESS_IN_USE'
  | 'ERR_ADDRESS_UNAVAILABLE'
  | 'ERR_PERMISSION'
  | 'ERR_DRIVER_UNAVAILABLE'
  | 'ERR_PORT_THREADS'
  | 'ERR_PORT_STATE'
  | 'ERR_JOBS_FULL'
  | 'ERR_JOB_UNKNOWN'
  | 'ERR_SESSION_GONE'
  | 'ERR_JOBS_LOAD'
  | 'ERR_JOBS_SHAPE'
  | 'ERR_ADDON_MISSING'
  | 'ERR_LAYOUT_MISMATCH'
  | 'ERR_MEMORY_PLAN'
  | 'ERR_SERVER_STATE'
  | 'ERR_WORKER_LOST'
  | 'ERR_PACKET_EXPIRED'
  | 'ERR_BUFFER_RELEASED'
  | 'ERR_PIN_RELEASED'
  | 'ERR_OPEN_NESTED'
  | 'ERR_SESSION_TABLE_FULL'
  | 'ERR_PROTOCOL_TABLE_FULL'
  | 'ERR_CONNECT'
  | 'ERR_CONNECT_REFUSED'
  | 'ERR_CONNECT_UNREACHABLE'
  | 'ERR_CONNECT_TIMED_OUT'
  | 'ERR_CONNECT_ABORTED'
  | 'ERR_NAME_NOT_FOUND'
  | 'ERR_PAYLOAD_TOO_LONG'
