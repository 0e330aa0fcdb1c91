// What: what all parts of the load client share: options, exit codes, helpers of time and failure.
// Flow: load_client.c reads the options -> the file of a mode runs it.
// Thread: the options are written by main before any other thread starts, then only read.
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull
#define SPREAD_MS_MAX 1000

enum exit_code {
  EXIT_GOOD = 0,
  EXIT_SETUP = 1,  // The run could not take place; says why on stderr.
  EXIT_USAGE = 2,
  EXIT_FAULT = 3,  // The server lost, changed or invented bytes, or dropped a connection.
};

struct options {
  const char *mode;
  const char *host;
  uint16_t port;
  int connections;
  int depth;          // Messages in flight per connection; fanout: broadcasts in flight;
                      // world: messages of a connection and tick.
  uint32_t size;      // Payload bytes.
  int threads;
  int sources;        // Local addresses 127.0.1.1 ... that connections are spread over.
  double seconds;     // Measured.
  double warmup;      // Seconds before, not measured.
  double hold;        // Seconds that idle connections are held.
  int foreign;        // Relay: percent of the messages that go to the other worker.
  double rate;        // Messages per second in all; 0: as fast as answers come.
  int states;         // World: states of a tick.
  int spread_ms;      // World: the answers of all connections to a tick are spread over so long.
  int interval_ms;    // Ping: from one answer to the next message.
  pid_t server_pid;   // 0: do not sample the server.
};

extern struct options options;

// Each mode prints its JSON line and returns the number of faults.
uint64_t run_echo(void);
uint64_t run_fanout(void);
uint64_t run_relay(void);
uint64_t run_connect(void);
uint64_t run_idle(void);
uint64_t run_world(void);
uint64_t run_ping(void);

static inline uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static inline void sleep_until_ns(uint64_t deadline) {
  struct timespec at = {.tv_sec = (time_t)(deadline / NS_PER_SECOND),
                        .tv_nsec = (long)(deadline % NS_PER_SECOND)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
  }
}

static inline void sleep_ns(uint64_t duration) { sleep_until_ns(now_ns() + duration); }

static inline uint64_t seconds_to_ns(double seconds) { return (uint64_t)(seconds * 1e9); }

static inline void fail_setup(const char *what, const char *why) {
  fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
  exit(EXIT_SETUP);
}

static inline void *allocate(size_t count, size_t bytes) {
  void *memory = calloc(count ? count : 1, bytes);
  if (!memory) fail_setup("memory", "not enough");
  return memory;
}

#endif
