// What: the accept thread: takes connections and gives each to the worker with the fewest sessions.
// Flow: listeners -> this -> a worker's inbox.
// Thread: its own; started and joined by main.
#include "loop/acceptor.h"

#include "driver/socket.h"

namespace loop {

namespace {

constexpr uint32_t kRingEntries = 1024;

}  // namespace

Acceptor::Acceptor(std::shared_ptr<shared::Runtime> runtime, int32_t thread, driver::Kind kind,
                   uint32_t features_forbidden)
    : runtime_(std::move(runtime)), thread_id_(thread), kind_(kind), features_forbidden_(features_forbidden) {}

Acceptor::~Acceptor() { stop(); }

void Acceptor::add(base::Fd listener) { listeners_.push_back(std::move(listener)); }

std::string Acceptor::start() {
  thread_ = std::thread([this] { run(); });
  opened_.wait();
  return why_;
}

void Acceptor::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  runtime_->signal(thread_id_);
  thread_.join();
  listeners_.clear();
}

/** The running worker with the fewest sessions and a free slot; 0 when there is none. */
int32_t Acceptor::least_loaded() const {
  const shared::Memory& memory = runtime_->memory();
  const layout::Control& control = memory.control();
  int32_t best = 0;
  int32_t fewest = 0;
  for (int32_t id = 1; id <= control.worker_count; id++) {
    layout::Thread& block = memory.thread(id);
    if (shared::atomic(block.thread_state).load() != static_cast<int32_t>(layout::ThreadState::kRunning)) continue;
    int32_t sessions = shared::atomic(block.assigned_sessions).load();
    int32_t first_slot = (id - 1) * control.sessions_per_worker;
    int32_t slots = std::min(control.sessions_per_worker, control.session_capacity - first_slot);
    if (sessions >= slots) continue;
    if (best == 0 || sessions < fewest) {
      best = id;
      fewest = sessions;
    }
  }
  return best;
}

void Acceptor::give(int32_t listener, base::Fd socket) {
  int32_t worker = least_loaded();
  double* counters = runtime_->memory().counters(thread_id_);
  if (worker == 0) {
    // Reset before it is counted: who sees the count finds the peer told.
    driver::set_reset_on_close(socket.get());
    socket.reset();
    shared::count(counters, layout::Counter::kTableFull);
    return;
  }
  shared::TransitSocket transit;
  if (!driver::peer_of(socket.get(), &transit.peer)) return;
  transit.fd = std::move(socket);
  transit.listener = listener;
  shared::atomic(runtime_->memory().thread(worker).assigned_sessions).fetch_add(1);
  shared::count(counters, layout::Counter::kAccepted);
  runtime_->inbox(worker).push(std::move(transit));
  touched_[static_cast<size_t>(worker)] = true;
}

void Acceptor::run() {
  std::vector<layout::Completion> entries(kRingEntries);
  int32_t head = 0;
  int32_t tail = 0;
  shared::CompletionRing ring(entries.data(), kRingEntries, &head, &tail);
  const shared::Memory& memory = runtime_->memory();
  touched_.resize(static_cast<size_t>(memory.control().thread_count));

  std::unique_ptr<driver::Driver> driver = driver::create(kind_);
  driver::Config config;
  config.memory = memory;
  config.completions = &ring;
  config.counters = memory.counters(thread_id_);
  config.alarm = &runtime_->alarm(thread_id_);
  config.thread = thread_id_;
  config.features_forbidden = features_forbidden_;
  why_ = driver->open(config);
  opened_.open();
  if (!why_.empty()) return;
  for (size_t i = 0; i < listeners_.size(); i++) driver->listen(static_cast<int32_t>(i), listeners_[i].get());

  auto hand_out = [&] {
    for (; head != tail; head++) {
      const layout::Completion& completion = entries[static_cast<uint32_t>(head) & (kRingEntries - 1)];
      give(completion.slot, base::Fd(completion.result));
    }
    for (int32_t id = 1; id <= memory.control().worker_count; id++) {
      if (touched_[static_cast<size_t>(id)] && runtime_->wake(id)) {
        shared::count(memory.counters(thread_id_), layout::Counter::kWakesSent);
      }
      touched_[static_cast<size_t>(id)] = false;
    }
  };
  while (!stopping_) {
    bool starved = driver->accept_starved();
    driver->wait(starved ? driver::kAcceptRetryMs : -1);
    if (starved) driver->relisten();
    hand_out();
  }
  for (size_t i = 0; i < listeners_.size(); i++) {
    driver->unlisten(static_cast<int32_t>(i));
    hand_out();
  }
  driver->close();
}

}  // namespace loop
