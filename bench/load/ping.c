// What: ping: one connection, otherwise silent, that sends a message now and then.
// Flow: sleep -> send -> the server stamps the time of arrival into its answer -> there, back.
// Thread: main.
//
// The stamp (8 bytes) is CLOCK_MONOTONIC in nanoseconds, which is one clock for all processes of a
// machine. It stands behind client id and sequence; all else of the answer is the message.
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

#include "client_socket.h"
#include "load_client.h"
#include "measure.h"
#include "message.h"

#define STAMP_OFFSET (HEADER_BYTES + STAMP_BYTES)
#define PING_BYTES_MIN (STAMP_BYTES + 8)

struct latencies {
  struct histogram there;
  struct histogram back;
  struct histogram both;
};

// Notes how long a message was under way. False when the answer is not the message with a stamp
// from between its sending and now.
static bool exchange(int fd, uint64_t sequence, uint8_t *frame, struct latencies *latencies) {
  build_frame(frame, 0, sequence);
  uint64_t sent_ns = now_ns();
  if (!exchange_bytes(fd, frame, frame_length())) return false;
  uint64_t done_ns = now_ns();
  uint64_t arrived_ns;
  memcpy(&arrived_ns, frame + STAMP_OFFSET, sizeof arrived_ns);
  uint32_t behind = STAMP_OFFSET + sizeof arrived_ns;
  bool right = frame_matches(frame, 0, STAMP_OFFSET, 0, sequence) &&
               frame_matches(frame + behind, behind, frame_length() - behind, 0, sequence) &&
               sent_ns <= arrived_ns && arrived_ns <= done_ns;
  if (!right) return false;
  histogram_add(&latencies->there, arrived_ns - sent_ns);
  histogram_add(&latencies->back, done_ns - arrived_ns);
  histogram_add(&latencies->both, done_ns - sent_ns);
  return true;
}

uint64_t run_ping(void) {
  if (options.size < PING_BYTES_MIN) fail_setup("--size", "ping needs 20 bytes");
  int fd = open_socket_or_fail();
  uint8_t *frame = allocate(1, frame_length());
  struct latencies *latencies = allocate(1, sizeof *latencies);
  uint64_t sequence = 0;
  uint64_t measure_ns = now_ns() + seconds_to_ns(options.warmup);
  uint64_t faults = 0;
  while (now_ns() < measure_ns && faults == 0) {
    if (!exchange(fd, sequence++, frame, latencies)) faults++;
    sleep_ns((uint64_t)options.interval_ms * NS_PER_MS);
  }
  memset(latencies, 0, sizeof *latencies);
  struct sample begin = take_sample();
  while (now_ns() < begin.at_ns + seconds_to_ns(options.seconds) && faults == 0) {
    if (!exchange(fd, sequence++, frame, latencies)) faults++;
    sleep_ns((uint64_t)options.interval_ms * NS_PER_MS);
  }
  struct sample end = take_sample();
  close(fd);
  report_begin();
  report_window(&begin, &end, latencies->both.count);
  report_latency("", &latencies->both);
  report_latency("there_", &latencies->there);
  report_latency("back_", &latencies->back);
  report_end(faults);
  return faults;
}
