// What: connections that send, stall, end or reset, and check every byte that comes back.
// Flow: listener of the stress program <-> this.
// Thread: each has its own, with many connections.
#pragma once

#include <poll.h>

#include <vector>

#include "base/fd.h"
#include "stress.h"

namespace stress {

class Client {
 public:
  Client(Shared& shared, uint32_t index, uint16_t port) : shared_(shared), index_(index), port_(port), random_(options.seed * 7919u + index) {}
  /** Until clients_finish is set and every connection got what was on its way. */
  void run();
  uint64_t ended_whole() const { return ended_whole_; }

 private:
  struct Connection {
    base::Fd fd;
    uint32_t key = 0;
    uint32_t sent = 0;
    uint32_t echoed = 0;
    uint32_t budget = 0;
    bool fin_sent = false;
    bool bye = false;
    int32_t slot = -1;
    uint32_t generation = 0;
    int32_t echo_sequence = 0;
    int32_t foreign[kThreads] = {};
    int stalled = 0;
    bool finished = false;
    std::vector<uint8_t> received;
  };

  void open(Connection& connection);
  void write(Connection& connection);
  void read(Connection& connection);
  size_t parse(Connection& connection);
  void check(Connection& connection, const Record& record, const uint8_t* payload);
  void ended(Connection& connection, bool by_reset);
  bool complete(const Connection& connection) const;

  Shared& shared_;
  uint32_t index_;
  uint16_t port_;
  Random random_;
  uint32_t opened_ = 0;
  uint64_t ended_whole_ = 0;
  bool quiet_ = false;
  bool finishing_ = false;
};

}  // namespace stress
