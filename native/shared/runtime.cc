// What: registry of runtimes, alarms.
// Flow: main creates -> workers and the acceptor find by id.
// Thread: any; the registry has a mutex, it is used at start and stop only.
#include "shared/runtime.h"

#include <cstddef>
#include <cstring>
#include <map>

namespace shared {

Runtime::Runtime(Memory memory) : memory_(memory) {
  for (int32_t i = 0; i < memory_.control().thread_count; i++) {
    alarms_.push_back(std::make_unique<base::Alarm>());
    inboxes_.push_back(std::make_unique<Inbox>());
  }
}

void Runtime::signal(int32_t thread) const { alarm(thread).ring(); }

bool Runtime::wake(int32_t thread) const {
  // order: seq_cst; the publish came before it; pairs with the parking thread's store and re-check [WAKE-1]
  if (atomic(memory_.thread(thread).parked).exchange(0, std::memory_order_seq_cst) == 0) return false;
  signal(thread);
  return true;
}

namespace {
/** In `peer_port`: the address has 16 bytes, not 4. */
constexpr int32_t kPeerIsV6 = 1 << 16;
}  // namespace

void write_peer(layout::Session& session, const SocketAddress& peer) {
  bool is_v6 = peer.any.sa_family == AF_INET6;
  session.peer_port = ntohs(is_v6 ? peer.v6.sin6_port : peer.v4.sin_port) | (is_v6 ? kPeerIsV6 : 0);
  if (is_v6) {
    std::memcpy(&session.peer_0, &peer.v6.sin6_addr, sizeof peer.v6.sin6_addr);
  } else {
    std::memcpy(&session.peer_0, &peer.v4.sin_addr, sizeof peer.v4.sin_addr);
  }
}

SocketAddress read_peer(const layout::Session& session) {
  static_assert(offsetof(layout::Session, peer_3) == offsetof(layout::Session, peer_0) + 12);
  SocketAddress peer{};
  auto port = htons(static_cast<uint16_t>(session.peer_port));
  if ((session.peer_port & kPeerIsV6) != 0) {
    peer.v6.sin6_family = AF_INET6;
    peer.v6.sin6_port = port;
    std::memcpy(&peer.v6.sin6_addr, &session.peer_0, sizeof peer.v6.sin6_addr);
  } else {
    peer.v4.sin_family = AF_INET;
    peer.v4.sin_port = port;
    std::memcpy(&peer.v4.sin_addr, &session.peer_0, sizeof peer.v4.sin_addr);
  }
  return peer;
}

namespace {
std::mutex registry_mutex;
std::map<int32_t, std::shared_ptr<Runtime>> registry;
int32_t next_id = 1;
}  // namespace

int32_t add_runtime(std::shared_ptr<Runtime> runtime) {
  std::lock_guard<std::mutex> guard(registry_mutex);
  registry[next_id] = std::move(runtime);
  return next_id++;
}

std::shared_ptr<Runtime> find_runtime(int32_t id) {
  std::lock_guard<std::mutex> guard(registry_mutex);
  auto found = registry.find(id);
  return found == registry.end() ? nullptr : found->second;
}

void remove_runtime(int32_t id) {
  std::lock_guard<std::mutex> guard(registry_mutex);
  registry.erase(id);
}

}  // namespace shared
