// What: the driver of a thread without sockets: on Windows libuv sleeps for it, and there is nothing to look at.
// Flow: loop/windows -> this.
// Thread: one instance per update thread.
#include "driver/windows/no_sockets_driver.h"

namespace driver {

std::string NoSocketsDriver::open(const Config& config) {
  config_ = config;
  OVERLAPPED_CHECK(config_.slot_count == 0 && config_.buffer_count == 0);
  return "";
}

Waited NoSocketsDriver::wait(int64_t timeout_ms) {
  OVERLAPPED_CHECK(timeout_ms == 0);
  return {};
}

// Nobody has a socket for it.
void NoSocketsDriver::listen(int32_t, int) { OVERLAPPED_CHECK(false); }
void NoSocketsDriver::unlisten(int32_t) { OVERLAPPED_CHECK(false); }
void NoSocketsDriver::relisten() { OVERLAPPED_CHECK(false); }
void NoSocketsDriver::submit(const int32_t*, size_t, bool) { OVERLAPPED_CHECK(false); }
const shared::SocketAddress* NoSocketsDriver::peer(int32_t, uint32_t) const { return nullptr; }

}  // namespace driver
