// What: what a measured window costs: CPU time of server and client, memory of the server.
// Flow: take_sample at both ends of the window -> differences -> one JSON line.
// Thread: main.
//
// The server is the process --pid with all its descendants (node:cluster forks). Its CPU time is
// the kernel's sum over all threads of each process, ended threads included, in nanoseconds: the
// clock that clock_getcpuclockid() names. It counts what /proc/PID/task/*/schedstat adds up to, but
// also the running slice of a thread that is on a CPU now.
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>

#include "histogram.h"

struct sample {
  uint64_t at_ns;
  uint64_t server_cpu_ns;
  uint64_t client_cpu_ns;
  uint64_t machine_busy_ns;  // All processes of the machine; in steps of 10 ms.
};

struct sample take_sample(void);

// Resident memory of the server in bytes.
uint64_t server_resident_bytes(void);

// Waits until the server uses hardly any CPU: it has accepted and set up all connections.
void wait_until_server_is_quiet(void);

// The JSON line: begin, any of the others, end.
void report_begin(void);
void report_number(const char *name, double value);
void report_window(const struct sample *begin, const struct sample *end, uint64_t messages);
// Percentiles; `prefix` begins their names.
void report_latency(const char *prefix, const struct histogram *histogram);
void report_end(uint64_t faults);

#endif
