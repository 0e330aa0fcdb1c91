// What: sending of the IOCP driver: gathered, at once what fits, overlapped what waits; on borrowed sockets, too.
// Flow: SEND -> this -> kernel -> this -> SEND completions.
// Thread: the driver's.
#include <shared_mutex>

#include "driver/iocp/iocp_driver.h"
#include "driver/iocp/windows_status.h"

namespace driver {

using layout::CompletionKind;
using layout::IoStatus;
using namespace iocp;

void IocpDriver::send(const GatheredSend& send) {
  Endpoint& endpoint = session_at(send.slot, send.generation);
  OVERLAPPED_CHECK(endpoint.sending == nullptr);  // one send outstanding per session
  for (size_t i = 0; i < send.slices; i++) {
    buffers_[i] = {static_cast<ULONG>(send.pairs[2 * i + 1]),
                   reinterpret_cast<char*>(config_.memory.arena + send.pairs[2 * i])};
  }
  // Of a borrowed socket: until the call returns, its owner does not close it.
  std::shared_lock<std::shared_mutex> guard;
  if (config_.borrows && endpoint.port != nullptr) guard = std::shared_lock<std::shared_mutex>(endpoint.port->lost);
  if (is_lost(send.slot, endpoint.fd)) {
    complete(CompletionKind::kSend, send.slot, send.generation, IoStatus::kReset);
    return;
  }
  if (!send.now || forbids(kFeatureTrySend)) return send_waiting(send, endpoint);
  shared::count(config_.counters, layout::Counter::kSyscalls);
  Called called = send_now(endpoint.fd, buffers_.data(), static_cast<uint32_t>(send.slices));
  shared::count(config_.counters, layout::Counter::kSendsInline);
  if (send.lazy && called.error == 0 && called.bytes == static_cast<uint32_t>(send.bytes)) {
    held_.push_back({send.slot, send.generation, send.bytes, false});
    return;
  }
  // WSAEWOULDBLOCK: the socket took nothing; that is an outcome, not a failure.
  bool took = called.error == 0 || called.error == WSAEWOULDBLOCK;
  complete(CompletionKind::kSend, send.slot, send.generation, took ? IoStatus::kOk : status_of(called.error),
           static_cast<int32_t>(called.bytes));
}

void IocpDriver::send_waiting(const GatheredSend& send, Endpoint& endpoint) {
  CompletionPort& port = config_.borrows ? *endpoint.port : *port_;
  Operation* operation = take_operation(OperationKind::kSend, send.slot, send.generation);
  endpoint.sending = operation;
  begin(*operation, port);
  Called called = iocp::send(endpoint.fd, buffers_.data(), static_cast<uint32_t>(send.slices), *operation);
  shared::count(config_.counters, called.pending ? layout::Counter::kSendsPending : layout::Counter::kSendsInline);
  if (!ends_at_once(called, port)) return;
  endpoint.sending = nullptr;
  pool_.give(operation);
  complete(CompletionKind::kSend, send.slot, send.generation, status_of(called.error),
           static_cast<int32_t>(called.bytes));
}

void IocpDriver::finish_send(Operation* operation, int error) {
  session_at(operation->slot, operation->generation).sending = nullptr;
  complete(CompletionKind::kSend, operation->slot, operation->generation, status_of(error),
           error == 0 ? static_cast<int32_t>(operation->bytes) : 0);
  pool_.give(operation);
}

void IocpDriver::report_held() {
  for (const HeldSend& held : held_) {
    complete(CompletionKind::kSend, held.slot, held.generation, IoStatus::kOk, held.bytes);
  }
  held_.clear();
}

}  // namespace driver
