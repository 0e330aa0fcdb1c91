// What: drives the native classes without Node: acceptor, workers, a send thread, senders and clients on loopback sockets.
// Flow: scripts/sanitizers.mjs -> this -> exit code and one line of counts.
// Thread: main starts all, ends them in order, and checks that every count is back at its start.
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "borrower.h"
#include "client.h"
#include "driver/socket.h"
#include "loop/acceptor.h"
#include "owner.h"
#include "reader.h"
#include "worker.h"

namespace stress {

Planned::Planned() {
  int32_t at = sizeof(layout::Control) / 4;
  auto region = [&](size_t bytes) {
    int32_t start = at;
    at += static_cast<int32_t>((bytes + 63) / 64 * 16);
    return start;
  };
  layout::Control control{};
  control.magic = layout::kMagic;
  control.layout_hash = layout::kLayoutHash;
  control.thread_count = kThreads;
  control.worker_count = options.workers;
  control.driver_count = kDrivers;
  control.session_capacity = session_count();
  control.sessions_per_worker = kSessionsPerWorker;
  control.nodes_per_thread = kNodesPerThread;
  control.chunk_count = kChunks;
  control.chunk_bytes = kChunkBytes;
  control.recv_buffers_per_worker = kBuffers;
  control.recv_buffer_bytes = kBufferBytes;
  control.recv_buffer_stride = kBufferStride;
  control.heap_bytes_per_worker = kBlocks * kBlockBytes;
  control.completion_capacity = kCompletionCapacity;
  control.submission_words = kSubmissionWords;
  control.threads_at = region(kThreads * sizeof(layout::Thread));
  control.sessions_at = region(kSessions * sizeof(layout::Session));
  control.nodes_at = region(kThreads * kNodesPerThread * sizeof(layout::Node));
  control.chunk_bitmap_at = region((kChunks + 31) / 32 * 4);
  control.chunk_refs_at = region(kChunks * 4);
  control.completions_at = region(kDrivers * kCompletionCapacity * sizeof(layout::Completion));
  control.submissions_at = region(kDrivers * kSubmissionWords * 4);
  control.counters_at = region(kThreads * shared::Memory::kCountersStride * 8);
  control.control_words = at;
  control.zero_copy_bytes = 1;
  control.chunk_byte_at = (kWorkers * kBuffers * kBufferStride + kChunkBytes - 1) / kChunkBytes * kChunkBytes;
  control.heap_byte_at = control.chunk_byte_at + kChunks * kChunkBytes;
  control.arena_bytes = control.heap_byte_at + kWorkers * kBlocks * kBlockBytes;

  words_memory_.reset(std::aligned_alloc(64, static_cast<size_t>(at) * 4));
  arena_memory_.reset(std::aligned_alloc(64, static_cast<size_t>(control.arena_bytes)));
  words_ = static_cast<int32_t*>(words_memory_.get());
  arena_ = static_cast<uint8_t*>(arena_memory_.get());
  std::memset(words_, 0, static_cast<size_t>(at) * 4);
  std::memset(arena_, 0, static_cast<size_t>(control.arena_bytes));
  std::memcpy(words_, &control, sizeof control);
  for (int32_t chunk = 0; chunk < kChunks; chunk++) {
    words_[control.chunk_bitmap_at + chunk / 32] |= static_cast<int32_t>(1u << (chunk % 32));
  }
  ASAN_POISON_MEMORY_REGION(arena_ + control.chunk_byte_at, kChunks * kChunkBytes);
  // What a driver writes behind a receive buffer is found.
  for (int32_t buffer = 0; buffer < kWorkers * kBuffers; buffer++) {
    ASAN_POISON_MEMORY_REGION(arena_ + buffer * kBufferStride + kBufferBytes, kBufferStride - kBufferBytes);
  }
  auto* sessions = reinterpret_cast<layout::Session*>(words_ + control.sessions_at);
  for (int32_t slot = 0; slot < kSessions; slot++) sessions[slot].owner = 1 + slot / kSessionsPerWorker;
}

namespace {

size_t open_descriptors() {
  auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

constexpr int kPokes = 2000;
constexpr int kKnocks = 500;
// What a thread counts before it wakes a worker again: at some of them the worker is about to sleep.
constexpr uint32_t kSpinsMax = 4000;

/** Pushes to a worker that has nothing else to do; returns when it has just taken that, and is on its way back to sleep. */
void poke(Thread& thread, int32_t worker, Random& random) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(options.patience_ms);
  auto slot = static_cast<int32_t>(random.below(kSessionsPerWorker)) + (worker - 1) * kSessionsPerWorker;
  thread.send_foreign(slot, random, false);
  thread.wake_marked();
  while (shared::atomic(thread.block(worker).flush_head).load() != 0) {
    if (std::chrono::steady_clock::now() > until) fail("a wake-up was lost: a worker sleeps with a slot on its flush stack");
    std::this_thread::yield();
  }
  std::atomic<uint32_t> spins{random.below(kSpinsMax)};
  while (spins-- > 0) continue;
}

/** Connections for a worker's inbox, as the acceptor puts them there. */
class Knocker {
 public:
  Knocker(Shared& shared, int32_t worker) : shared_(shared), worker_(worker) {
    driver::parse_address("127.0.0.1", 0, &address_, &length_);
    expect(driver::open_listener(address_, driver::SocketOptions(), 1, &listener_) == 0, "there is no listener");
    getsockname(listener_.get(), &address_.any, &length_);
  }

  /** Hands one over while the worker is on its way to sleep, and ends it. */
  void knock(Thread& thread, Random& random) {
    base::Fd peer;
    shared::TransitSocket socket;
    open(&peer, &socket);
    poke(thread, worker_, random);
    hand_over(std::move(socket));
    shutdown(peer.get(), SHUT_WR);
    char bytes[512];
    ssize_t received;
    while ((received = read(peer.get(), bytes, sizeof bytes)) > 0) continue;
    expect(received == 0 || errno != EAGAIN, "a session whose peer has left did not end");
  }

 private:
  void open(base::Fd* peer, shared::TransitSocket* socket) {
    *peer = base::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    timeval patience{options.patience_ms / 1000, options.patience_ms % 1000 * 1000};
    setsockopt(peer->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    expect(connect(peer->get(), &address_.any, length_) == 0, "a connection was refused");
    pollfd arrived{listener_.get(), POLLIN, 0};
    expect(poll(&arrived, 1, options.patience_ms) == 1, "a connection did not arrive");
    socket->fd = base::Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    driver::peer_of(socket->fd.get(), &socket->peer);
  }

  void hand_over(shared::TransitSocket socket) {
    shared::Inbox& inbox = shared_.runtime->inbox(worker_);
    auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(options.patience_ms);
    shared::atomic(shared_.runtime->memory().thread(worker_).assigned_sessions).fetch_add(1);
    inbox.push(std::move(socket));
    if (shared_.runtime->wake(worker_)) shared_.totals.wakes++;
    while (inbox.waiting()) {
      if (std::chrono::steady_clock::now() > until) fail("a wake-up was lost: a worker sleeps with a socket in its inbox");
      std::this_thread::yield();
    }
  }

  Shared& shared_;
  int32_t worker_;
  shared::SocketAddress address_;
  socklen_t length_ = 0;
  base::Fd listener_;
};

/** A thread that has no sessions of its own, as main has none. */
void send(Shared& shared, Thread& thread, uint32_t seed) {
  Random random(seed);
  while (!shared.senders_stop) {
    for (uint32_t count = random.below(32); count > 0; count--) {
      thread.send_foreign(static_cast<int32_t>(random.below(static_cast<uint32_t>(session_count()))), random);
      if (random.one_in(4)) thread.wake_marked();
    }
    thread.wake_marked();
    // Workers must also find time to sleep.
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(600)));
  }
  int32_t worker = thread.id() - kAcceptor;
  if (worker <= options.workers) {
    for (int i = 0; i < kPokes; i++) poke(thread, worker, random);
    Knocker knocker(shared, worker);
    for (int i = 0; i < kKnocks; i++) knocker.knock(thread, random);
  }
  thread.retire();
}

/** Whether everything that a run is for has happened. */
bool is_varied(const Shared& shared) {
  const Totals& totals = shared.totals;
  std::vector<const std::atomic<uint64_t>*> all{&totals.resets, &totals.closes, &totals.short_sends, &totals.wakes, &totals.sleeps};
  if (options.sends_elsewhere) all.insert(all.end(), {&totals.waits, &totals.cancels});
  else all.insert(all.end(), {&totals.foreign_messages, &totals.contended, &totals.pauses});
  if (shared.sends_without_copies) all.insert(all.end(), {&totals.notifications, &totals.copies_by_limit});
  return std::all_of(all.begin(), all.end(), [](const auto* total) { return *total > 0; });
}

/** On a busy machine what is rare takes longer; check what happened, not how fast. */
void wait_for(const std::function<bool()>& is_true) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(options.patience_ms);
  while (!is_true() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/** Nothing may be left anywhere once everybody has ended. */
void check_all_back(Shared& shared, const std::vector<Thread*>& threads) {
  shared::Memory memory = shared.runtime->memory();
  const layout::Control& control = memory.control();
  for (int32_t slot = 0; slot < kSessions; slot++) {
    layout::Session& session = threads[0]->session(slot);
    bool used = session.generation > 0;
    expect(session.io_count == (used ? layout::kIoReleased : 0), "an I/O count is not back");
    expect(session.send_head == 0 && session.send_flag == 0 && session.request == 0 && session.queued_bytes == 0,
           "a send list, a flag, a request or queued bytes are not back");
    expect(session.state == static_cast<int32_t>(layout::SessionState::kFree), "a session is not free");
    expect(session.handle == 0, "a handle is not back");
  }
  for (int32_t id = 0; id < kThreads; id++) {
    layout::Thread& block = memory.thread(id);
    expect(block.flush_head == 0 && block.release_head == 0 && block.request_head == 0 && block.parked == 0 &&
               block.assigned_sessions == 0 && block.completion_head == block.completion_tail,
           "a stack, a count or a ring of a thread is not empty");
  }
  for (Thread* thread : threads) expect(thread->free_nodes() == kNodesPerThread, "a node is not back");
  for (int32_t chunk = 0; chunk < kChunks; chunk++) {
    expect(memory.words[control.chunk_refs_at + chunk] == 0, "a chunk still has references");
    expect((static_cast<uint32_t>(memory.words[control.chunk_bitmap_at + chunk / 32]) >> (chunk % 32) & 1) == 1, "a chunk is not free");
  }
}

/** A listener on loopback whose connections the accept thread hands out, or a single worker takes. */
class Listening {
 public:
  Listening() {
    shared::SocketAddress address;
    socklen_t length;
    driver::parse_address("127.0.0.1", 0, &address, &length);
    driver::SocketOptions socket_options;
    socket_options.send_buffer_bytes = 4096;
    expect(driver::open_listener(address, socket_options, 128, &listener_) == 0, "there is no listener");
    getsockname(listener_.get(), &address.any, &length);
    port_ = static_cast<uint16_t>(driver::port_of(address));
  }
  uint16_t port() const { return port_; }

  void start(Shared& shared) {
    if (options.workers == 1) {
      shared::TransitSocket listening;
      listening.fd = std::move(listener_);
      listening.listens = true;
      shared.runtime->inbox(1).push(std::move(listening));
      shared.runtime->wake(1);
      return;
    }
    acceptor_ = std::make_unique<loop::Acceptor>(shared.runtime, kAcceptor, options.driver, 0);
    acceptor_->add(std::move(listener_));
    std::string why = acceptor_->start();
    if (!why.empty()) fail("the acceptor did not start: " + why);
  }
  void stop() {
    if (acceptor_ != nullptr) acceptor_->stop();
  }

 private:
  base::Fd listener_;
  uint16_t port_ = 0;
  std::unique_ptr<loop::Acceptor> acceptor_;
};

void wait_until_running(Shared& shared, int32_t id) {
  auto& state = shared.runtime->memory().thread(id).thread_state;
  while (shared::atomic(state).load() != static_cast<int32_t>(layout::ThreadState::kRunning)) std::this_thread::yield();
}

void run() {
  size_t descriptors = open_descriptors();
  {
    Planned planned;
    Shared shared(std::make_shared<shared::Runtime>(planned.memory()));
    Listening listening;

    std::vector<std::unique_ptr<Worker>> workers;
    std::vector<std::unique_ptr<Thread>> senders;
    std::vector<std::unique_ptr<Client>> clients;
    for (int32_t id = 1; id <= options.workers; id++) workers.push_back(std::make_unique<Worker>(shared, id));
    for (int32_t i = 0; i < kSenders; i++) senders.push_back(std::make_unique<Thread>(shared, kAcceptor + 1 + i));
    for (uint32_t i = 0; i < 2; i++) clients.push_back(std::make_unique<Client>(shared, i, listening.port()));

    std::vector<std::thread> worker_threads, sender_threads, client_threads;
    for (auto& worker : workers) worker_threads.emplace_back([&] { worker->run(); });
    for (int32_t id = 1; id <= options.workers; id++) wait_until_running(shared, id);
    listening.start(shared);
    for (auto& client : clients) client_threads.emplace_back([&] { client->run(); });
    for (auto& sender : senders) {
      sender_threads.emplace_back([&] { send(shared, *sender, options.seed + static_cast<uint32_t>(sender->id())); });
    }

    std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
    wait_for([&] { return is_varied(shared); });
    shared.clients_quiet = true;
    shared.senders_stop = true;
    for (std::thread& thread : sender_threads) thread.join();
    shared.clients_finish = true;
    for (std::thread& thread : client_threads) thread.join();
    listening.stop();
    shared.workers_stop = true;
    for (int32_t id = 1; id <= options.workers; id++) shared.runtime->signal(id);
    for (std::thread& thread : worker_threads) thread.join();

    std::vector<Thread*> threads;
    for (auto& worker : workers) threads.push_back(worker.get());
    for (auto& sender : senders) threads.push_back(sender.get());
    check_all_back(shared, threads);
    uint64_t whole = 0;
    for (auto& client : clients) whole += client->ended_whole();
    Totals& totals = shared.totals;
    std::printf(
        "stress: %llu sessions (%llu whole), %llu bytes echoed, %llu messages of other threads (%llu refused, flag held %llu), "
        "%llu resets, %llu closes, %llu pauses, %llu short sends, %llu notifications (%llu copied by limit), %llu wakes, %llu sleeps\n",
        static_cast<unsigned long long>(totals.sessions), static_cast<unsigned long long>(whole),
        static_cast<unsigned long long>(totals.echoed_bytes), static_cast<unsigned long long>(totals.foreign_messages),
        static_cast<unsigned long long>(totals.refused), static_cast<unsigned long long>(totals.contended),
        static_cast<unsigned long long>(totals.resets), static_cast<unsigned long long>(totals.closes),
        static_cast<unsigned long long>(totals.pauses), static_cast<unsigned long long>(totals.short_sends),
        static_cast<unsigned long long>(totals.notifications), static_cast<unsigned long long>(totals.copies_by_limit),
        static_cast<unsigned long long>(totals.wakes), static_cast<unsigned long long>(totals.sleeps));
    expect(is_varied(shared), "something that was to happen never did");
    expect(whole > 0, "no session ended in order");
    ASAN_UNPOISON_MEMORY_REGION(planned.memory().arena, static_cast<size_t>(planned.memory().control().arena_bytes));
  }
  expect(open_descriptors() == descriptors, "a descriptor was left open");
}

/** Ends the send thread's driver with sends that wait, then the owners. */
void run_borrowing() {
  size_t descriptors = open_descriptors();
  {
    Planned planned;
    Shared shared(std::make_shared<shared::Runtime>(planned.memory()));
    Listening listening;
    std::vector<std::unique_ptr<Owner>> owners;
    for (int32_t id = 1; id <= options.workers; id++) owners.push_back(std::make_unique<Owner>(shared, id));
    Borrower borrower(shared);
    Reader reader(shared, listening.port());
    std::vector<std::thread> owner_threads;
    for (auto& owner : owners) owner_threads.emplace_back([&] { owner->run(); });
    std::thread borrower_thread([&] { borrower.run(); });
    for (int32_t id = 1; id <= options.workers; id++) wait_until_running(shared, id);
    wait_until_running(shared, kSendThread);
    listening.start(shared);
    std::thread reader_thread([&] { reader.run(); });

    std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
    wait_for([&] { return is_varied(shared); });
    // Owners reset nobody any more; who was reset hears it before it stalls for good.
    shared.clients_quiet = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    shared.clients_finish = true;
    reader_thread.join();
    wait_for([&] { return borrower.waiting() > 0; });
    shared.senders_stop = true;
    shared.runtime->signal(kSendThread);
    borrower_thread.join();
    expect(borrower.waiting() > 0, "no send waited when the driver was closed");
    listening.stop();
    shared.workers_stop = true;
    for (int32_t id = 1; id <= options.workers; id++) shared.runtime->signal(id);
    for (std::thread& thread : owner_threads) thread.join();

    std::vector<Thread*> threads{&borrower};
    for (auto& owner : owners) threads.push_back(owner.get());
    ASAN_UNPOISON_MEMORY_REGION(planned.memory().arena, static_cast<size_t>(planned.memory().control().arena_bytes));
    check_all_back(shared, threads);
    Totals& totals = shared.totals;
    auto figure = [](uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf(
        "stress: %llu sessions (%llu whole), %llu bytes sent by another thread, %llu resets, %llu ends by peers, "
        "%llu short sends, %llu waits for room, %llu cancelled, %d cut off, %llu wakes, %llu sleeps\n",
        figure(totals.sessions), figure(reader.ended_whole()), figure(totals.echoed_bytes), figure(totals.resets),
        figure(totals.closes), figure(totals.short_sends), figure(totals.waits), figure(totals.cancels), borrower.waiting(),
        figure(totals.wakes), figure(totals.sleeps));
    expect(is_varied(shared), "something that was to happen never did");
    expect(reader.ended_whole() > 0, "no session ended in order");
  }
  expect(open_descriptors() == descriptors, "a descriptor was left open");
}

}  // namespace
}  // namespace stress

/** As test harnesses have it: neither passed nor failed. */
constexpr int kNotTested = 77;

int main(int count, char** arguments) {
  using stress::options;
  using stress::Plant;
  for (int i = 1; i + 1 < count; i += 2) {
    std::string name = arguments[i];
    std::string value = arguments[i + 1];
    if (name == "--driver") options.driver = value == "io_uring" ? driver::Kind::kUring : driver::Kind::kEpoll;
    else if (name == "--seconds") options.seconds = std::stoi(value);
    else if (name == "--workers") options.workers = value == "1" ? 1 : stress::kWorkers;
    else if (name == "--sends") options.sends_elsewhere = value == "elsewhere";
    else if (name == "--seed") options.seed = static_cast<uint32_t>(std::stoul(value));
    else if (name == "--patience-ms") options.patience_ms = std::stoi(value);
    else if (name == "--plant") {
      options.plant = value == "race"             ? Plant::kRace
                      : value == "use-after-free" ? Plant::kUseAfterFree
                      : value == "freed-chunk"    ? Plant::kFreedChunk
                      : value == "overflow"       ? Plant::kOverflow
                      : value == "out-of-bounds"  ? Plant::kOutOfBounds
                      : value == "unseen-inbox"   ? Plant::kUnseenInbox
                      : value == "unheld"         ? Plant::kUnheld
                                                  : Plant::kNone;
      if (options.plant == Plant::kNone) stress::fail("there is no plant " + value);
    } else {
      stress::fail("there is no option " + name);
    }
  }
  std::string denied = options.driver == driver::Kind::kUring ? driver::probe_driver(&options.features) : "";
  if (!denied.empty()) {
    std::fprintf(stderr, "stress: io_uring cannot be tested: %s\n", denied.c_str());
    return kNotTested;
  }
  if (options.plant == Plant::kUnheld && (options.features & driver::kFeatureZeroCopy) == 0) return kNotTested;
  if (options.sends_elsewhere) stress::run_borrowing();
  else stress::run();
  return 0;
}
