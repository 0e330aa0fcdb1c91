// What: idle: connections that exchange one verified message each and then stay open and silent.
// Flow: connect -> one echo each -> hold -> the server's memory per connection, and its idle CPU.
// Thread: main.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_socket.h"
#include "load_client.h"
#include "measure.h"
#include "message.h"

// Sends one message and verifies its echo. False when anything about it is wrong.
static bool echo_once(int fd, uint32_t id, uint8_t *frame) {
  build_frame(frame, id, 0);
  return exchange_bytes(fd, frame, frame_length()) && whole_frame_matches(frame, id, 0);
}

// A held connection has nothing to read: neither bytes nor its end.
static bool is_silent(int fd) {
  uint8_t byte;
  return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

uint64_t run_idle(void) {
  uint64_t faults = 0;
  int *fds = allocate((size_t)options.connections, sizeof *fds);
  uint8_t *frame = allocate(1, frame_length());
  uint64_t resident_before = server_resident_bytes();
  uint64_t started_ns = now_ns();
  for (int i = 0; i < options.connections; i++) {
    fds[i] = open_socket_or_fail();
    if (!echo_once(fds[i], (uint32_t)i, frame)) faults++;
  }
  double connect_seconds = (double)(now_ns() - started_ns) / 1e9;

  struct sample begin = take_sample();
  sleep_ns(seconds_to_ns(options.hold));
  struct sample end = take_sample();
  uint64_t resident = server_resident_bytes();
  for (int i = 0; i < options.connections; i++) {
    if (!is_silent(fds[i])) faults++;
    close(fds[i]);
  }

  double grown = (double)resident - (double)resident_before;
  report_begin();
  report_number("connect_s", connect_seconds);
  report_number("server_resident_before_bytes", (double)resident_before);
  report_number("server_resident_bytes", (double)resident);
  report_number("rss_per_connection_bytes", grown / options.connections);
  report_number("server_utilization", (double)(end.server_cpu_ns - begin.server_cpu_ns) /
                                          (double)(end.at_ns - begin.at_ns));
  report_end(faults);
  return faults;
}
