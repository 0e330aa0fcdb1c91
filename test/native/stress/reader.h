// What: connections that read what the send thread sends, check each byte, stall, end or reset.
// Flow: listener of the stress program <-> this.
// Thread: its own, with many connections.
#pragma once

#include <vector>

#include "base/fd.h"
#include "stress.h"

namespace stress {

class Reader {
 public:
  Reader(Shared& shared, uint16_t port) : shared_(shared), port_(port), random_(options.seed * 7919u) {}
  /** Until clients_finish is set, all that is read has ended, and the others keep a send waiting. */
  void run();
  uint64_t ended_whole() const { return ended_whole_; }
  /** Connections that do not read any more: a send waits for each of them, for ever. */
  int32_t stalled_for_good() const { return stalled_for_good_; }

 private:
  struct Connection {
    base::Fd fd;
    Hello hello{};
    uint32_t received = 0;
    uint32_t reads_left = 0;
    int stalled = 0;
    bool fin_sent = false;
    bool for_good = false;
  };

  void open(Connection& connection);
  void read(Connection& connection);
  void check(Connection& connection, const uint8_t* bytes, uint32_t count);
  void leave(Connection& connection);

  Shared& shared_;
  uint16_t port_;
  Random random_;
  std::vector<Connection> connections_;
  uint64_t ended_whole_ = 0;
  int32_t stalled_for_good_ = 0;
};

}  // namespace stress
