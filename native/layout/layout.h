// What: the shared memory as C++ sees it. Generated from src/layout/schema.ts by `npm run generate`; do not edit.
// Flow: schema.ts -> this -> everything in native/.
// Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>

namespace layout {

inline constexpr int32_t kLayoutHash = -1915885270;
inline constexpr int32_t kMagic = 1331055696;  // First word of the control memory ("OVLP").
inline constexpr int32_t kCacheLineWords = 16;  // 64-byte cache lines, in 32-bit words.
inline constexpr int32_t kThreadsMax = 256;  // Threads of one runtime: main, workers, send threads, the acceptor, update threads, job threads.
inline constexpr int32_t kSlotBits = 20;  // Bits of a session id (and of user_data) that name the slot.
inline constexpr int32_t kSessionsMax = 1048575;  // Most sessions of one runtime: 2^20 - 1, what SLOT_BITS can say.
inline constexpr int32_t kListenersMax = 256;  // Listeners and outbound protocols of one runtime.
inline constexpr int32_t kGroupNameBytesMax = 64;  // Longest name of a group, in bytes of UTF-8.
inline constexpr int32_t kGroupsMax = 65535;  // Most groups alive at once: the directory is looked through by whoever makes one.
inline constexpr int32_t kProtocolFlagLittleEndian = 1;  // Length prefix: the length has its low byte first.
inline constexpr int32_t kProtocolFlagIncludesHeader = 2;  // Length prefix: the length counts the header too.
inline constexpr int32_t kProtocolFlagStrip = 4;  // Delimiter: the handler gets payloads without it.
inline constexpr int32_t kProtocolFlagResetOnClose = 8;  // closeMode is `reset`.
inline constexpr int32_t kProtocolFlagNoDelay = 16;  // TCP_NODELAY.
inline constexpr int32_t kGatherMax = 1024;  // Most slices in one gathered send: UIO_MAXIOV, uio(7).
inline constexpr int32_t kIoReleased = 1073741824;  // Bit of the I/O count: the session is released, no pin succeeds any more.
inline constexpr int32_t kLockWaited = 65536;  // Bit of a lock word beside the holder: somebody may sleep until it is given back.
inline constexpr uint32_t kGenerationMax = 4294967295u;  // Last generation of a slot; after it the slot is retired.
inline constexpr int32_t kSendHeaderWords = 4;  // Words of a SEND submission before its (offset, length) pairs.
inline constexpr int32_t kSendFlagNow = 1;  // SEND completes at once with what the socket took (MSG_DONTWAIT).
inline constexpr int32_t kSendFlagLazy = 2;  // The completion of a SEND that was taken whole may be reported when the next wait ends.
inline constexpr int32_t kSendFlagZeroCopy = 4;  // The kernel may read the bytes of a SEND where they lie; only with SEND_FLAG_NOW. A driver that cannot do so copies them.
inline constexpr int32_t kSendNumberShift = 3;  // Bits 3-6 of the flags of a SEND with SEND_FLAG_ZERO_COPY: its number, which comes back with NOTIFIED.
inline constexpr int32_t kNotificationsMax = 16;  // Most NOTIFIED completions that may be outstanding for a session: what 4 bits can number.
inline constexpr int32_t kHandleLost = -1;  // Word `handle` of a session whose owner has ended and closed its socket.
inline constexpr int32_t kCloseFlagReset = 1;  // CLOSE sends RST (SO_LINGER with time 0) instead of FIN.
inline constexpr int32_t kSessionRequestClose = 1;  // Close the session.
inline constexpr int32_t kSessionRequestTerminate = 2;  // Reset the session.
inline constexpr int32_t kSessionRequestEnd = 4;  // Its content has handled everything up to END: go on closing.
inline constexpr int32_t kSessionRequestFlow = 8;  // The word `paused` has changed.
inline constexpr int32_t kSessionRequestMove = 16;  // Its content moves to another update thread.
inline constexpr int32_t kSessionRequestMoved = 32;  // The update thread that it moved to has it.
inline constexpr int32_t kSessionRequestFlushed = 64;  // Its send thread has sent everything and ended the stream.
inline constexpr int32_t kSessionRequestSendReset = 128;  // Its send thread found that the peer has reset the connection.
inline constexpr int32_t kSessionRequestSendFailed = 256;  // A send of its send thread failed otherwise.
inline constexpr int32_t kSessionRequestOverflow = 512;  // The heap of its send thread is full, and this session has most of it.
inline constexpr int32_t kCompletionFlagTerminal = 1;  // No further completion follows for this receive operation.
inline constexpr int32_t kCompletionFlagNotifies = 2;  // Of SEND: NOTIFIED follows, and until then the kernel may read what it has taken.
inline constexpr int32_t kCompletionFlagCopied = 4;  // Of NOTIFIED: the kernel has copied the bytes after all.
inline constexpr int32_t kPortThreadsMax = 256;  // Threads that may have one completion port open.
inline constexpr int32_t kPortGranting = 65536;  // In a place of a completion port: it is being given away by this thread.

// Head of the control memory: the plan of everything behind it. `_at` words are indices in words from its start, `_byte_at` bytes from the start of the arena.
struct Control {
  int32_t magic;
  int32_t layout_hash;
  int32_t thread_count;
  int32_t worker_count;
  int32_t driver_count;
  int32_t acceptor_thread;
  int32_t update_first;
  int32_t update_count;
  int32_t job_first;
  int32_t job_count;
  int32_t session_capacity;
  int32_t sessions_per_worker;
  int32_t nodes_per_thread;
  int32_t chunk_count;
  int32_t chunk_bytes;
  int32_t recv_buffers_per_worker;
  int32_t recv_buffer_bytes;
  int32_t recv_buffer_stride;
  int32_t heap_bytes_per_worker;
  int32_t completion_capacity;
  int32_t submission_words;
  int32_t threads_at;
  int32_t sessions_at;
  int32_t nodes_at;
  int32_t chunk_bitmap_at;
  int32_t chunk_refs_at;
  int32_t completions_at;
  int32_t submissions_at;
  int32_t job_rings_at;
  int32_t job_ring_capacity;
  int32_t groups_at;
  int32_t group_max;
  int32_t group_capacity;
  int32_t live_slots_at;
  int32_t counters_at;
  int32_t protocols_at;
  int32_t control_words;
  int32_t sent_wanted;
  int32_t sessions_opened;
  int32_t recv_byte_at;
  int32_t heap_byte_at;
  int32_t chunk_byte_at;
  int32_t job_byte_at;
  int32_t job_bytes_per_ring;
  int32_t arena_bytes;
  int32_t zero_copy_bytes;
  int32_t zero_copy_is_auto;
  int32_t poison;
  int32_t protocol_count;
  int32_t pad_0[15];
};
static_assert(sizeof(Control) == 256);
static_assert(alignof(Control) == 4);
static_assert(offsetof(Control, magic) == 0);
static_assert(offsetof(Control, layout_hash) == 4);
static_assert(offsetof(Control, thread_count) == 8);
static_assert(offsetof(Control, worker_count) == 12);
static_assert(offsetof(Control, driver_count) == 16);
static_assert(offsetof(Control, acceptor_thread) == 20);
static_assert(offsetof(Control, update_first) == 24);
static_assert(offsetof(Control, update_count) == 28);
static_assert(offsetof(Control, job_first) == 32);
static_assert(offsetof(Control, job_count) == 36);
static_assert(offsetof(Control, session_capacity) == 40);
static_assert(offsetof(Control, sessions_per_worker) == 44);
static_assert(offsetof(Control, nodes_per_thread) == 48);
static_assert(offsetof(Control, chunk_count) == 52);
static_assert(offsetof(Control, chunk_bytes) == 56);
static_assert(offsetof(Control, recv_buffers_per_worker) == 60);
static_assert(offsetof(Control, recv_buffer_bytes) == 64);
static_assert(offsetof(Control, recv_buffer_stride) == 68);
static_assert(offsetof(Control, heap_bytes_per_worker) == 72);
static_assert(offsetof(Control, completion_capacity) == 76);
static_assert(offsetof(Control, submission_words) == 80);
static_assert(offsetof(Control, threads_at) == 84);
static_assert(offsetof(Control, sessions_at) == 88);
static_assert(offsetof(Control, nodes_at) == 92);
static_assert(offsetof(Control, chunk_bitmap_at) == 96);
static_assert(offsetof(Control, chunk_refs_at) == 100);
static_assert(offsetof(Control, completions_at) == 104);
static_assert(offsetof(Control, submissions_at) == 108);
static_assert(offsetof(Control, job_rings_at) == 112);
static_assert(offsetof(Control, job_ring_capacity) == 116);
static_assert(offsetof(Control, groups_at) == 120);
static_assert(offsetof(Control, group_max) == 124);
static_assert(offsetof(Control, group_capacity) == 128);
static_assert(offsetof(Control, live_slots_at) == 132);
static_assert(offsetof(Control, counters_at) == 136);
static_assert(offsetof(Control, protocols_at) == 140);
static_assert(offsetof(Control, control_words) == 144);
static_assert(offsetof(Control, sent_wanted) == 148);
static_assert(offsetof(Control, sessions_opened) == 152);
static_assert(offsetof(Control, recv_byte_at) == 156);
static_assert(offsetof(Control, heap_byte_at) == 160);
static_assert(offsetof(Control, chunk_byte_at) == 164);
static_assert(offsetof(Control, job_byte_at) == 168);
static_assert(offsetof(Control, job_bytes_per_ring) == 172);
static_assert(offsetof(Control, arena_bytes) == 176);
static_assert(offsetof(Control, zero_copy_bytes) == 180);
static_assert(offsetof(Control, zero_copy_is_auto) == 184);
static_assert(offsetof(Control, poison) == 188);
static_assert(offsetof(Control, protocol_count) == 192);

// One block per thread: the words by which other threads reach it.
struct Thread {
  int32_t parked;
  int32_t pad_0[15];
  int32_t flush_head;
  int32_t pad_1[15];
  int32_t release_head;
  int32_t pad_2[15];
  int32_t request_head;
  int32_t pad_3[15];
  int32_t doorbell;
  int32_t pad_4[15];
  int32_t node_return_head;
  int32_t pad_5[15];
  int32_t assigned_sessions;
  int32_t thread_state;
  int32_t pad_6[14];
  int32_t completion_head;
  int32_t pad_7[15];
  int32_t completion_tail;
  int32_t pad_8[15];
  int32_t local_pending;
  int32_t deaf;
  int32_t receive_interval_ms;
  int32_t submission_used;
  int32_t turn_at_ms;
  int32_t pad_9[11];
};
static_assert(sizeof(Thread) == 640);
static_assert(alignof(Thread) == 4);
static_assert(offsetof(Thread, parked) == 0);
static_assert(offsetof(Thread, flush_head) == 64);
static_assert(offsetof(Thread, release_head) == 128);
static_assert(offsetof(Thread, request_head) == 192);
static_assert(offsetof(Thread, doorbell) == 256);
static_assert(offsetof(Thread, node_return_head) == 320);
static_assert(offsetof(Thread, assigned_sessions) == 384);
static_assert(offsetof(Thread, thread_state) == 388);
static_assert(offsetof(Thread, completion_head) == 448);
static_assert(offsetof(Thread, completion_tail) == 512);
static_assert(offsetof(Thread, local_pending) == 576);
static_assert(offsetof(Thread, deaf) == 580);
static_assert(offsetof(Thread, receive_interval_ms) == 584);
static_assert(offsetof(Thread, submission_used) == 588);
static_assert(offsetof(Thread, turn_at_ms) == 592);

// One slot of the session table: three cache lines, by who writes them.
struct Session {
  int32_t generation;
  int32_t state;
  int32_t listener;
  int32_t owner;
  int32_t tag;
  int32_t sender;
  int32_t content;
  int32_t handle;
  int32_t peer_port;
  int32_t peer_0;
  int32_t peer_1;
  int32_t peer_2;
  int32_t peer_3;
  int32_t pad_0[3];
  int32_t io_count;
  int32_t release_link;
  int32_t request;
  int32_t request_link;
  int32_t paused;
  int32_t close_reason;
  int32_t move_to;
  int32_t pad_1[9];
  int32_t send_head;
  int32_t send_flag;
  int32_t flush_link;
  int32_t queued_bytes;
  int32_t drain_wanted;
  int32_t lane_wanted;
  int32_t stream_ended;
  int32_t handed_node;
  int32_t pad_2[8];
};
static_assert(sizeof(Session) == 192);
static_assert(alignof(Session) == 4);
static_assert(offsetof(Session, generation) == 0);
static_assert(offsetof(Session, state) == 4);
static_assert(offsetof(Session, listener) == 8);
static_assert(offsetof(Session, owner) == 12);
static_assert(offsetof(Session, tag) == 16);
static_assert(offsetof(Session, sender) == 20);
static_assert(offsetof(Session, content) == 24);
static_assert(offsetof(Session, handle) == 28);
static_assert(offsetof(Session, peer_port) == 32);
static_assert(offsetof(Session, peer_0) == 36);
static_assert(offsetof(Session, peer_1) == 40);
static_assert(offsetof(Session, peer_2) == 44);
static_assert(offsetof(Session, peer_3) == 48);
static_assert(offsetof(Session, io_count) == 64);
static_assert(offsetof(Session, release_link) == 68);
static_assert(offsetof(Session, request) == 72);
static_assert(offsetof(Session, request_link) == 76);
static_assert(offsetof(Session, paused) == 80);
static_assert(offsetof(Session, close_reason) == 84);
static_assert(offsetof(Session, move_to) == 88);
static_assert(offsetof(Session, send_head) == 128);
static_assert(offsetof(Session, send_flag) == 132);
static_assert(offsetof(Session, flush_link) == 136);
static_assert(offsetof(Session, queued_bytes) == 140);
static_assert(offsetof(Session, drain_wanted) == 144);
static_assert(offsetof(Session, lane_wanted) == 148);
static_assert(offsetof(Session, stream_ended) == 152);
static_assert(offsetof(Session, handed_node) == 156);

// Head and tail of a job ring, from a thread with a driver to an update thread.
struct JobRing {
  int32_t tail;
  int32_t pad_0[15];
  int32_t head;
  int32_t space_wanted;
  int32_t pad_1[14];
};
static_assert(sizeof(JobRing) == 128);
static_assert(alignof(JobRing) == 4);
static_assert(offsetof(JobRing, tail) == 0);
static_assert(offsetof(JobRing, head) == 64);
static_assert(offsetof(JobRing, space_wanted) == 68);

// A record of a job ring; JobKind says what the words are.
struct Job {
  int32_t kind_slot;
  int32_t first;
  int32_t second;
  int32_t pad_0[1];
};
static_assert(sizeof(Job) == 16);
static_assert(alignof(Job) == 4);
static_assert(offsetof(Job, kind_slot) == 0);
static_assert(offsetof(Job, first) == 4);
static_assert(offsetof(Job, second) == 8);

// A protocol that connect() was given: what another thread must know to send to its sessions or to receive for them.
struct Protocol {
  int32_t published;
  int32_t framing;
  int32_t flags;
  int32_t marker_bytes;
  int32_t prefix_offset;
  int32_t delimiter_0;
  int32_t delimiter_1;
  int32_t delimiter_2;
  int32_t delimiter_3;
  int32_t max_payload_length;
  int32_t send_buffer_bytes;
  int32_t receive_buffer_bytes;
  int32_t pad_0[4];
};
static_assert(sizeof(Protocol) == 64);
static_assert(alignof(Protocol) == 4);
static_assert(offsetof(Protocol, published) == 0);
static_assert(offsetof(Protocol, framing) == 4);
static_assert(offsetof(Protocol, flags) == 8);
static_assert(offsetof(Protocol, marker_bytes) == 12);
static_assert(offsetof(Protocol, prefix_offset) == 16);
static_assert(offsetof(Protocol, delimiter_0) == 20);
static_assert(offsetof(Protocol, delimiter_1) == 24);
static_assert(offsetof(Protocol, delimiter_2) == 28);
static_assert(offsetof(Protocol, delimiter_3) == 32);
static_assert(offsetof(Protocol, max_payload_length) == 36);
static_assert(offsetof(Protocol, send_buffer_bytes) == 40);
static_assert(offsetof(Protocol, receive_buffer_bytes) == 44);

// A slice of memory waiting to be sent to one session.
struct Node {
  int32_t next;
  int32_t offset;
  int32_t length;
  int32_t block;
};
static_assert(sizeof(Node) == 16);
static_assert(alignof(Node) == 4);
static_assert(offsetof(Node, next) == 0);
static_assert(offsetof(Node, offset) == 4);
static_assert(offsetof(Node, length) == 8);
static_assert(offsetof(Node, block) == 12);

// One finished operation, as the driver reports it.
struct Completion {
  int32_t kind;
  int32_t flags;
  int32_t slot;
  int32_t generation;
  int32_t status;
  int32_t result;
  int32_t offset;
  int32_t buffer;
};
static_assert(sizeof(Completion) == 32);
static_assert(alignof(Completion) == 4);
static_assert(offsetof(Completion, kind) == 0);
static_assert(offsetof(Completion, flags) == 4);
static_assert(offsetof(Completion, slot) == 8);
static_assert(offsetof(Completion, generation) == 12);
static_assert(offsetof(Completion, status) == 16);
static_assert(offsetof(Completion, result) == 20);
static_assert(offsetof(Completion, offset) == 24);
static_assert(offsetof(Completion, buffer) == 28);

// Head of the groups: who may change which groups there are.
struct GroupDirectory {
  int32_t lock;
  int32_t pad_0[15];
  int32_t version;
  int32_t alive;
  int32_t pad_1[14];
  int32_t used;
  int32_t free_first;
  int32_t free_last;
  int32_t pad_2[13];
};
static_assert(sizeof(GroupDirectory) == 192);
static_assert(alignof(GroupDirectory) == 4);
static_assert(offsetof(GroupDirectory, lock) == 0);
static_assert(offsetof(GroupDirectory, version) == 64);
static_assert(offsetof(GroupDirectory, alive) == 68);
static_assert(offsetof(GroupDirectory, used) == 128);
static_assert(offsetof(GroupDirectory, free_first) == 132);
static_assert(offsetof(GroupDirectory, free_last) == 136);

// One entry for a group; the words of its name are the last.
struct Group {
  int32_t generation;
  int32_t next;
  int32_t capacity;
  int32_t bucket;
  int32_t free_link;
  int32_t pad_0[11];
  int32_t members;
  int32_t name_length;
  int32_t name;
  int32_t pad_1[29];
};
static_assert(sizeof(Group) == 192);
static_assert(alignof(Group) == 4);
static_assert(offsetof(Group, generation) == 0);
static_assert(offsetof(Group, next) == 4);
static_assert(offsetof(Group, capacity) == 8);
static_assert(offsetof(Group, bucket) == 12);
static_assert(offsetof(Group, free_link) == 16);
static_assert(offsetof(Group, members) == 64);
static_assert(offsetof(Group, name_length) == 68);
static_assert(offsetof(Group, name) == 72);

// Head of the memory of a completion port, which is a SharedArrayBuffer of its own. `_at` words are indices in words from its start.
struct Port {
  int32_t hash;
  int32_t threads;
  int32_t limit;
  int32_t capacity;
  int32_t entry_bytes;
  int32_t queue_bits;
  int32_t places_at;
  int32_t threads_at;
  int32_t cells_at;
  int32_t entries_at;
  int32_t payload_byte_at;
  int32_t pad_0[5];
  int32_t tail;
  int32_t pad_1[15];
  int32_t head;
  int32_t pad_2[15];
  int32_t waits;
  int32_t pad_3[15];
  int32_t threads_used;
  int32_t pad_4[15];
};
static_assert(sizeof(Port) == 320);
static_assert(alignof(Port) == 4);
static_assert(offsetof(Port, hash) == 0);
static_assert(offsetof(Port, threads) == 4);
static_assert(offsetof(Port, limit) == 8);
static_assert(offsetof(Port, capacity) == 12);
static_assert(offsetof(Port, entry_bytes) == 16);
static_assert(offsetof(Port, queue_bits) == 20);
static_assert(offsetof(Port, places_at) == 24);
static_assert(offsetof(Port, threads_at) == 28);
static_assert(offsetof(Port, cells_at) == 32);
static_assert(offsetof(Port, entries_at) == 36);
static_assert(offsetof(Port, payload_byte_at) == 40);
static_assert(offsetof(Port, tail) == 64);
static_assert(offsetof(Port, head) == 128);
static_assert(offsetof(Port, waits) == 192);
static_assert(offsetof(Port, threads_used) == 256);

// One block per thread that has a completion port open.
struct PortThread {
  int32_t state;
  int32_t pad_0[15];
  int32_t return_head;
  int32_t pad_1[15];
  int32_t direct_head;
  int32_t pad_2[15];
  int32_t free_entry;
  int32_t fresh_entries;
  int32_t holding;
  int32_t key;
  int32_t pad_3[12];
};
static_assert(sizeof(PortThread) == 256);
static_assert(alignof(PortThread) == 4);
static_assert(offsetof(PortThread, state) == 0);
static_assert(offsetof(PortThread, return_head) == 64);
static_assert(offsetof(PortThread, direct_head) == 128);
static_assert(offsetof(PortThread, free_entry) == 192);
static_assert(offsetof(PortThread, fresh_entries) == 196);
static_assert(offsetof(PortThread, holding) == 200);
static_assert(offsetof(PortThread, key) == 204);

// What was posted to a completion port.
struct PortEntry {
  int32_t link;
  int32_t next;
  int32_t key;
  int32_t value;
  int32_t length;
};
static_assert(sizeof(PortEntry) == 20);
static_assert(alignof(PortEntry) == 4);
static_assert(offsetof(PortEntry, link) == 0);
static_assert(offsetof(PortEntry, next) == 4);
static_assert(offsetof(PortEntry, key) == 8);
static_assert(offsetof(PortEntry, value) == 12);
static_assert(offsetof(PortEntry, length) == 16);

// What a thread does with a completion port.
enum class PortThreadState : int32_t {
  kAbsent = 0,  // No thread has this block.
  kOutside = 1,  // It has the port open, does not wait and has nothing from it.
  kWaiting = 2,  // It waits, or is about to.
  kChosen = 3,  // It was given a place and has not woken yet.
  kRunning = 4,  // It has something from the port and a place.
  kOver = 5,  // It came back from blocking when all places were taken: it runs without one.
  kPaused = 6,  // It has something from the port and says that it blocks.
};
inline constexpr int32_t kPortThreadStateCount = 7;

// What finished.
enum class CompletionKind : int32_t {
  kAccept = 1,  // A connection was accepted and waits to be attached or refused.
  kRecv = 2,  // Bytes arrived, the peer ended its stream, or receiving ended.
  kSend = 3,  // A gathered send finished, in whole or in part.
  kConnect = 4,  // An outbound connection was made or failed.
  kPeerGone = 5,  // The peer of a paused session closed or reset its connection.
  kPaused = 6,  // Receiving stopped on request and can be started again.
  kNotified = 7,  // The kernel reads the bytes of a zero-copy SEND no more; result is its number.
};
inline constexpr int32_t kCompletionKindCount = 8;

// First word of a submission, bits 0-7; bits 8-15 are flags, bits 16-31 a count.
enum class SubmissionOp : int32_t {
  kSend = 1,  // slot, generation, total bytes, then count pairs of offset and length.
  kAttach = 2,  // slot, generation, token: the socket in transit becomes the slot's.
  kRefuse = 3,  // token: the socket in transit is reset.
  kRecv = 4,  // slot, generation: start (or start again) receiving.
  kPause = 5,  // slot, generation: stop receiving, watch for the peer leaving.
  kCancel = 6,  // slot, generation: end every pending operation of the slot.
  kShutdown = 7,  // slot, generation: no more sends; FIN follows what was taken.
  kClose = 8,  // slot, generation: close the handle. Nothing may be pending but a peer watch.
  kConnect = 9,  // slot, generation, token: connect the prepared socket.
  kBufferReturn = 10,  // count receive buffer indices.
  kBorrow = 11,  // slot, generation: this thread sends on the socket that the owner's driver has attached (word `handle`).
  kGiveBack = 12,  // slot, generation: it does not any more. No send of it may be pending.
};
inline constexpr int32_t kSubmissionOpCount = 13;

// Outcome of an operation, the same on every driver; native errors are mapped once, in the driver.
enum class IoStatus : int32_t {
  kOk = 0,  // It succeeded.
  kEndOfStream = 1,  // The peer sent FIN: nothing more will be received.
  kReset = 2,  // The peer reset the connection.
  kCancelled = 3,  // It was cancelled from this side.
  kRefused = 4,  // Nobody listens at the address.
  kUnreachable = 5,  // There is no way to the address.
  kTimedOut = 6,  // The peer did not answer in time.
  kAddressInUse = 7,  // The local address is taken.
  kAddressUnavailable = 8,  // The local address does not exist, or no port is free.
  kNoPermission = 9,  // The system does not allow it.
  kNoResources = 10,  // The system is out of descriptors or memory.
  kNotSupported = 11,  // The system, or this kind of socket, cannot do it.
  kUnknown = 12,  // Anything else; the native number is in the log.
};
inline constexpr int32_t kIoStatusCount = 13;

// Life of a slot; transitions are drawn in docs/protocols/session.md.
enum class SessionState : int32_t {
  kFree = 0,  // Nobody uses the slot.
  kOpen = 1,  // Receives and sends.
  kClosing = 2,  // Takes no new sends; flushes, then ends the stream and waits for the peer.
  kTerminating = 3,  // Everything pending is being cancelled.
  kReleased = 4,  // The I/O count fell to 0; the handle is being closed.
  kRetired = 5,  // Every generation was used; the slot is not used again.
};
inline constexpr int32_t kSessionStateCount = 6;

// Kind of a framing in the protocol table.
enum class FramingKind : int32_t {
  kLengthPrefix = 1,  // A length before each payload.
  kDelimiter = 2,  // A byte sequence after each payload.
  kRaw = 3,  // No messages.
};
inline constexpr int32_t kFramingKindCount = 4;

// What a record of a job ring says; the first word of a record is kind | slot << 8.
enum class JobKind : int32_t {
  kJoin = 1,  // generation, protocol: a session that this thread runs the content of.
  kConnected = 2,  // generation, number of the connect() that made it: before its JOIN.
  kRecv = 3,  // offset, length of a payload in the arena: a message.
  kEnd = 4,  // CloseReason: nothing more is received; asks to be closed when all before it is handled.
  kDrain = 5,  // generation: half of maxBackpressure is free again.
  kSent = 6,  // generation, bytes: a gather was taken by the socket.
  kMove = 7,  // the session goes to the update thread that it asked for.
  kLeave = 8,  // CloseReason: the I/O count fell to 0; asks for the slot back when onLeave has returned.
};
inline constexpr int32_t kJobKindCount = 9;

// What a thread is doing.
enum class ThreadState : int32_t {
  kAbsent = 0,  // Not started.
  kRunning = 1,  // Takes work.
  kStopping = 2,  // Takes no new sessions.
  kGone = 3,  // Ended; its sessions are closed.
};
inline constexpr int32_t kThreadStateCount = 4;

// Why a session ended: given to onLeave, counted per reason.
enum class CloseReason : int32_t {
  kNone = 0,  // It has not ended.
  kPeerClosed = 1,  // The peer ended its stream.
  kPeerReset = 2,  // The peer reset the connection.
  kLocalClose = 3,  // session.close() or runtime.close().
  kLocalTerminate = 4,  // session.terminate().
  kRefused = 5,  // onConnectionRequest returned false.
  kTableFull = 6,  // maxSessions sessions were open.
  kFrameTooLong = 7,  // A frame announced, or grew to, more than maxPayloadLength.
  kFrameInvalid = 8,  // A header that cannot be: a length below the header it includes.
  kHandlerError = 9,  // The handler threw or rejected.
  kIdleTimeout = 10,  // Nothing was received for idleTimeout.
  kFirstMessageTimeout = 11,  // No message came within firstMessageTimeout.
  kCloseTimeout = 12,  // The peer did not end its stream within closeTimeout.
  kOverflow = 13,  // The memory for unsent bytes or partial frames ran out and this session held the most.
  kServerStop = 14,  // The server stopped.
  kWorkerLost = 15,  // The worker that owned the session ended.
  kConnectFailed = 16,  // The outbound connection was not made.
  kIoError = 17,  // The system reported an error that has no reason of its own.
};
inline constexpr int32_t kCloseReasonCount = 18;

// Counters of a thread: float64 each (exact to 2^53), one writer, never reset.
enum class Counter : int32_t {
  kTurns = 0,  // Turns of the loop.
  kSleeps = 1,  // Times the thread slept.
  kCpuNs = 2,  // CPU time of the thread in nanoseconds, as of its last longer sleep or visit of libuv.
  kWaitedNs = 3,  // Nanoseconds in waits of the driver, which also run sends and receives.
  kWakesSent = 4,  // Wake-ups signalled to other threads.
  kSyscalls = 5,  // System calls that the driver made.
  kCompletions = 6,  // Completions handled.
  kAccepted = 7,  // Connections accepted.
  kAcceptStarved = 8,  // Times accepting stopped because the process had no descriptor or memory left.
  kRefused = 9,  // Connections refused by onConnectionRequest.
  kTableFull = 10,  // Connections refused because the session table was full.
  kConnected = 11,  // Outbound connections made.
  kConnectFailed = 12,  // Outbound connections that failed.
  kJoined = 13,  // onJoin calls.
  kLeft = 14,  // onLeave calls.
  kMessagesIn = 15,  // Messages handed to onRecv.
  kBytesIn = 16,  // Bytes received.
  kMessagesOut = 17,  // Messages queued, one per recipient.
  kBytesOut = 18,  // Bytes that sockets took.
  kGathers = 19,  // Gathered sends submitted.
  kGatherSlices = 20,  // Slices in them.
  kFlushes = 21,  // Times the thread took what others had handed over: of a session at most one gather each.
  kGathersTo1 = 22,  // Gathers of one slice.
  kGathersTo2 = 23,  // Gathers of two slices.
  kGathersTo4 = 24,  // Gathers of 3 to 4 slices.
  kGathersTo8 = 25,  // Gathers of 5 to 8 slices.
  kGathersTo16 = 26,  // Gathers of 9 to 16 slices.
  kGathersTo32 = 27,  // Gathers of 17 to 32 slices.
  kGathersTo64 = 28,  // Gathers of 33 to 64 slices.
  kGathersTo128 = 29,  // Gathers of 65 to 128 slices.
  kGathersTo256 = 30,  // Gathers of 129 to 256 slices.
  kGathersTo512 = 31,  // Gathers of 257 to 512 slices.
  kGathersTo1024 = 32,  // Gathers of 513 to 1024 slices.
  kShortSends = 33,  // Sends that the socket took only in part.
  kZeroCopySends = 34,  // Gathers that the kernel took without a copy, or said so at first.
  kZeroCopyCopied = 35,  // Of them, those of which its notification said that it had copied.
  kZeroCopyRefused = 36,  // Gathers for which zero copy failed for lack of memory or support; they were sent again, copied.
  kZeroCopyLimited = 37,  // Gathers that were long enough and copied, because the kernel held as much as it may.
  kZeroCopyGivenUp = 38,  // Protocols for which the thread ended zero copy: the kernel copied, or refused, each time.
  kSendsInline = 39,  // Sends that were over when the call that handed them to the system returned; short ones, too.
  kSendsPending = 40,  // Sends that waited for room in their socket.
  kRecvsInline = 41,  // Receives of bytes that the receive before, which had filled its buffer, had left in the socket.
  kRecvsPending = 42,  // Receives that waited for bytes.
  kJobsByReference = 43,  // Messages handed to update threads in their receive buffer.
  kJobsStalled = 44,  // Times receiving stopped because an update thread had enough to do.
  kTicks = 45,  // onTick rounds run.
  kTicksLate = 46,  // Ticks that began after the next one was due.
  kTicksSkipped = 47,  // Ticks left out because they were overdue.
  kOverflowBytes = 48,  // Bytes copied to overflow blocks.
  kSendFull = 49,  // Sends refused: the session had maxBackpressure queued.
  kSendClosed = 50,  // Sends to a session that is closing or gone.
  kSendDropped = 51,  // Sends refused: no chunk or node was free.
  kFlagContended = 52,  // Send flags found held.
  kCasRetries = 53,  // Compare-exchanges that had to be repeated.
  kJobsRun = 54,  // Jobs that a job thread has run, those that failed among them.
  kJobsFailed = 55,  // Jobs that threw or rejected.
  kJobsFull = 56,  // Jobs refused: the thread had as many in the queue as it may.
  kJobsDropped = 57,  // Results dropped: the session that they were for, or the thread that asked, was gone.
  kBuffersUsed = 58,  // Receive buffers that the driver does not have, as of its last wait: a level, not a sum.
  kBuffersStarved = 59,  // Times receiving stopped because no receive buffer was free.
  kQueueOverflows = 60,  // Times the kernel held completions back because its queue was full (io_uring).
  kFramesCopied = 61,  // Frames that straddled receive buffers and were copied together.
  kGroupFull = 62,  // Joins refused: the group had as many members as its capacity says.
  kGroupsExhausted = 63,  // Joins refused: as many groups as there may be were alive.
  kOpenAbandoned = 64,  // Reservations left open at the end of a turn.
  kHandlerErrors = 65,  // Errors that handlers threw or rejected with.
  kSlotsRetired = 66,  // Slots whose generations are used up.
  kEndedNone = 67,  // Sessions that ended so: It has not ended.
  kEndedPeerClosed = 68,  // Sessions that ended so: The peer ended its stream.
  kEndedPeerReset = 69,  // Sessions that ended so: The peer reset the connection.
  kEndedLocalClose = 70,  // Sessions that ended so: session.close() or runtime.close().
  kEndedLocalTerminate = 71,  // Sessions that ended so: session.terminate().
  kEndedRefused = 72,  // Sessions that ended so: onConnectionRequest returned false.
  kEndedTableFull = 73,  // Sessions that ended so: maxSessions sessions were open.
  kEndedFrameTooLong = 74,  // Sessions that ended so: A frame announced, or grew to, more than maxPayloadLength.
  kEndedFrameInvalid = 75,  // Sessions that ended so: A header that cannot be: a length below the header it includes.
  kEndedHandlerError = 76,  // Sessions that ended so: The handler threw or rejected.
  kEndedIdleTimeout = 77,  // Sessions that ended so: Nothing was received for idleTimeout.
  kEndedFirstMessageTimeout = 78,  // Sessions that ended so: No message came within firstMessageTimeout.
  kEndedCloseTimeout = 79,  // Sessions that ended so: The peer did not end its stream within closeTimeout.
  kEndedOverflow = 80,  // Sessions that ended so: The memory for unsent bytes or partial frames ran out and this session held the most.
  kEndedServerStop = 81,  // Sessions that ended so: The server stopped.
  kEndedWorkerLost = 82,  // Sessions that ended so: The worker that owned the session ended.
  kEndedConnectFailed = 83,  // Sessions that ended so: The outbound connection was not made.
  kEndedIoError = 84,  // Sessions that ended so: The system reported an error that has no reason of its own.
};
inline constexpr int32_t kCounterCount = 85;

}  // namespace layout
