// What: a simulated network for the sim driver: connections, a virtual clock, and seeded faults, each kind counted.
// Flow: simulated clients, sim drivers -> this -> what each side can read, in virtual time.
// Thread: the one that steps the simulation; there is no global state, worlds do not know one another.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace driver::sim {

/** What goes wrong, or only otherwise than usual; all of it is within what a kernel may do. */
enum class Fault : int32_t {
  kShortRead,        // a receive took less than there was
  kLateCompletion,   // an operation took its time
  kReorder,          // a completion overtook one of another operation
  kPeerReset,        // the peer's RST arrived
  kPeerEnd,          // the peer's FIN arrived
  kSocketFull,       // a send took nothing (EAGAIN)
  kShortSend,        // a send took a part
  kStarved,          // bytes were there, and no receive buffer
  kRingFull,         // completions stayed behind a full ring or batch
  kLostRace,         // an operation finished although its cancel or pause was on its way
  kConnectRefused,   // nobody listened
  kConnectTimedOut,  // nobody answered
  kSpuriousWake,     // a wait ended with nothing
  kUnreadDropped,    // an RST took bytes with it that nobody had read
  kAcceptedGone,     // the peer had left before its socket was attached
  kLateNotification, // the kernel read the bytes of a zero-copy send for long
  kZeroCopyRefused,  // it had no memory for one
  kCount,
};

/** Bugs of a driver that can be planted, so that the simulation's checks are tested themselves. */
enum class Bug : int32_t {
  kNone,
  kCompletionLost,        // a send's completion never comes
  kCompletionTwice,       // a receive's completion comes twice
  kShortSendWhole,        // a short send is reported as whole
  kCancelUnanswered,      // a cancelled receive does not complete
  kPauseUnanswered,       // PAUSED never comes
  kBuffersReversed,       // two receives of one session change places
  kSlicesReversed,        // a gather's slices go out in reverse
  kStarvedForgotten,      // who waits for a receive buffer is not served when one comes back
  kLazyHeldForever,       // held completions are not reported when a wait ends
  kCloseIgnored,          // the handle is not closed
  kWakeLost,              // a signal does not end the wait
  kTransitLeaked,         // a refused socket is not closed
};

struct Options {
  uint64_t seed = 1;
  /** In 1/1000, by Fault; kinds that only happen are ignored. */
  std::vector<int32_t> permille;
  /** Unread bytes that a connection holds per direction. */
  int32_t pipe_bytes = 4096;
  Bug bug = Bug::kNone;
};

/** xorshift64*: small, and good enough to choose faults. */
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull | 1) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545f4914f6cdd1dull) >> 16;
  }
  /** 0 to bound - 1. */
  int64_t below(int64_t bound) { return static_cast<int64_t>(next() % static_cast<uint64_t>(bound)); }

 private:
  uint64_t state_;
};

/** One direction of a connection: bytes on their way, then bytes that can be read. */
class Pipe {
 public:
  void write(const uint8_t* bytes, size_t count, int64_t due_ns);
  void end(int64_t due_ns);
  /** Makes visible what has arrived. True: an end arrived. */
  bool arrive(int64_t now_ns);
  size_t read(uint8_t* to, size_t count);
  void drop();
  /** What has not arrived never will. */
  void cut();

  size_t held() const { return bytes_.size() - head_; }
  size_t visible() const { return visible_; }
  bool ended() const { return ended_ && visible_ == 0; }
  bool end_arrived() const { return ended_; }
  /** When the next part arrives; -1: nothing is on its way. */
  int64_t next_due() const { return on_way_.empty() ? -1 : on_way_.front().due_ns; }

 private:
  struct Part {
    size_t count;  // 0: the end
    int64_t due_ns;
  };
  std::vector<uint8_t> bytes_;
  size_t head_ = 0;
  size_t visible_ = 0;
  bool ended_ = false;
  std::deque<Part> on_way_;
};

struct Connection {
  Pipe to_server;
  Pipe to_client;
  int listener = 0;
  bool server_open = true;
  bool client_open = true;
  bool client_ended = false;  // it sent FIN
  bool server_ended = false;
  bool client_gone = false;   // its whole socket is closed: what still comes is answered by RST
  int64_t reset_to_server_ns = -1;  // an RST is on its way
  int64_t reset_to_client_ns = -1;
  bool server_error = false;   // it arrived; the next operation that asks is told, once
  bool server_reset = false;   // it has arrived at some time
  bool client_reset = false;
  int64_t taken_from_server = 0;  // bytes that sends have taken
  bool borrowed = false;          // another driver than its owner's may send on it
};

class World {
 public:
  explicit World(Options options);

  int64_t now_ns() const { return now_ns_; }
  void advance(int64_t ns) { now_ns_ += ns; }
  Random& random() { return random_; }
  bool bug(Bug bug) const { return options_.bug == bug; }
  const Options& options() const { return options_; }

  /** Whether a fault happens now; counts it. */
  bool strikes(Fault fault);
  void count(Fault fault) { counts_[static_cast<size_t>(fault)]++; }
  double count_of(Fault fault) const { return counts_[static_cast<size_t>(fault)]; }
  /** When an operation that begins now is done: often at once. */
  int64_t operation_due();
  /** When bytes that are sent now arrive. */
  int64_t arrival_due() { return now_ns_ + random_.below(kFlightNsMax); }

  /** A broken contract: the simulation fails with the first one. */
  void violate(const std::string& sentence) {
    if (violation_.empty()) violation_ = sentence;
  }
  const std::string& violation() const { return violation_; }

  int32_t add(int listener);
  Connection& at(int32_t connection) { return connections_[static_cast<size_t>(connection)]; }
  int32_t count() const { return static_cast<int32_t>(connections_.size()); }

  /** A connection to who accepts by itself: it is there when the handshake is done. */
  int32_t knock(int listener);
  /** Whether one can be accepted now. */
  bool backlog_waits() const { return !backlog_.empty() && backlog_.front().due_ns <= now_ns_; }
  int32_t take_backlog();
  /** Connections that nobody has accepted are reset. */
  void close_listener(int listener);

  /** Bytes, ends and resets that are due arrive. */
  void deliver();
  /** When the next thing arrives; -1: nothing is on its way. */
  int64_t next_due() const;

  // The server's side, for drivers.
  size_t server_send(Connection& connection, const uint8_t* bytes, size_t count);
  void server_end(Connection& connection);
  void server_close(Connection& connection, bool reset);

  // The client's side.
  size_t client_send(Connection& connection, const uint8_t* bytes, size_t count);
  void client_end(Connection& connection);
  void client_close(Connection& connection);
  void client_reset(Connection& connection);

 private:
  static constexpr int64_t kFlightNsMax = 100'000;
  static constexpr int64_t kOperationNsMax = 400'000;

  Options options_;
  Random random_;
  int64_t now_ns_ = 0;
  std::vector<double> counts_;
  std::deque<Connection> connections_;
  struct Knocking {
    int32_t connection;
    int64_t due_ns;
  };
  std::deque<Knocking> backlog_;
  std::string violation_;
};

}  // namespace driver::sim
