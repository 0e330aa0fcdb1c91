// What: the driver of a thread without sockets: on Windows libuv sleeps for it, and there is nothing to look at.
// Flow: loop/windows -> this.
// Thread: one instance per update thread.
#pragma once

#include "driver/driver.h"

namespace driver {

class NoSocketsDriver final : public Driver {
 public:
  std::string open(const Config& config) override;
  void listen(int32_t listener, int fd) override;
  void unlisten(int32_t listener) override;
  bool accept_starved() const override { return false; }
  void relisten() override;
  void submit(const int32_t* words, size_t count, bool now) override;
  /** Only looks. */
  Waited wait(int64_t timeout_ms) override;
  void close() override {}
  const shared::SocketAddress* peer(int32_t slot, uint32_t generation) const override;
};

}  // namespace driver
