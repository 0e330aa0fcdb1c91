// What: a completion port and its completion thread, which takes packets in batches and forwards what is over.
// Flow: kernel -> this -> arrivals of the driver whose operation it was.
// Thread: opened and closed by the driver's thread; the completion thread is its own.
#include "driver/iocp/completion_port.h"

#include <map>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "driver/iocp/arrivals.h"

namespace driver::iocp {

namespace {

/** Of packets that are no operation's: the completion thread ends. */
constexpr ULONG_PTR kQuit = 1;
/** Of all others. */
constexpr ULONG_PTR kOperation = 0;

std::mutex ports_mutex;
std::map<std::pair<const void*, int32_t>, std::shared_ptr<CompletionPort>> ports;

}  // namespace

std::shared_ptr<CompletionPort> find_port(const void* memory, int32_t thread) {
  std::lock_guard<std::mutex> guard(ports_mutex);
  auto found = ports.find({memory, thread});
  return found == ports.end() ? nullptr : found->second;
}

void set_port(const void* memory, int32_t thread, std::shared_ptr<CompletionPort> port) {
  std::lock_guard<std::mutex> guard(ports_mutex);
  if (port == nullptr) {
    ports.erase({memory, thread});
  } else {
    ports[{memory, thread}] = std::move(port);
  }
}

CompletionPort::~CompletionPort() { close(); }

void CompletionPort::open(uint32_t batch, Arrivals* owner) {
  batch_ = batch;
  owner_ = owner;
  // One thread takes packets; the number is what Windows lets run at once.
  port_ = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1);
  OVERLAPPED_CHECK(port_ != nullptr);
  thread_ = std::thread([this] { run(); });
}

int CompletionPort::associate(int fd, bool skips_success) {
  if (CreateIoCompletionPort(base::handle_of(fd), port_, kOperation, 0) == nullptr) {
    return static_cast<int>(GetLastError());
  }
  // Nobody waits for the handle itself: the kernel need not signal it.
  UCHAR modes = FILE_SKIP_SET_EVENT_ON_HANDLE;
  if (skips_success) modes |= FILE_SKIP_COMPLETION_PORT_ON_SUCCESS;
  if (!SetFileCompletionNotificationModes(base::handle_of(fd), modes) && skips_success) {
    return static_cast<int>(GetLastError());
  }
  return 0;
}

void CompletionPort::close() {
  if (!thread_.joinable()) return;
  OVERLAPPED_CHECK(outstanding() == 0);
  // Closing the port does not end a wait for it everywhere; a packet does.
  OVERLAPPED_CHECK(PostQueuedCompletionStatus(port_, 0, kQuit, nullptr));
  thread_.join();
  CloseHandle(port_);
}

DWORD CompletionPort::wake_due() {
  int64_t due_ns = owner_->due_ns();
  if (due_ns == 0) return INFINITE;
  int64_t left_ns = due_ns - base::now_ns();
  if (left_ns > 0) return static_cast<DWORD>((left_ns + 999'999) / 1'000'000);
  owner_->wake();
  return INFINITE;
}

void CompletionPort::sort(Operation* operation) {
  bool receives = operation->kind == OperationKind::kProbe || operation->kind == OperationKind::kReceive;
  for (Delivery& delivery : deliveries_) {
    if (delivery.home != operation->home) continue;
    operation->next = delivery.newest;
    delivery.newest = operation;
    delivery.only_receives &= receives;
    return;
  }
  deliveries_.push_back({operation->home, operation, operation, receives});
}

/** Three outcomes of a wait: it timed out; packets of operations, each of which says how it ended; a quit that was posted. */
void CompletionPort::run() {
  std::vector<OVERLAPPED_ENTRY> entries(batch_);
  bool quits = false;
  while (!quits) {
    ULONG count = 0;
    DWORD timeout_ms = wake_due();
    if (!GetQueuedCompletionStatusEx(port_, entries.data(), batch_, &count, timeout_ms, FALSE)) {
      OVERLAPPED_CHECK(GetLastError() == WAIT_TIMEOUT);  // else the port itself has failed
      continue;
    }
    int64_t forwarded = 0;
    for (ULONG i = 0; i < count; i++) {
      if (entries[i].lpOverlapped == nullptr) {
        OVERLAPPED_CHECK(entries[i].lpCompletionKey == kQuit);
        quits = true;
        continue;
      }
      Operation* operation = Operation::of(entries[i].lpOverlapped);
      operation->bytes = entries[i].dwNumberOfBytesTransferred;
      sort(operation);
      forwarded++;
    }
    for (const Delivery& delivery : deliveries_) {
      delivery.home->push(delivery.newest, delivery.oldest, delivery.only_receives);
    }
    deliveries_.clear();
    // order: after the pushes; who waits for none to be outstanding finds them all
    outstanding_.fetch_sub(forwarded, std::memory_order_seq_cst);
  }
}

}  // namespace driver::iocp
