// What: the measured window of a run with client threads: its phases, and what each thread counted.
// Flow: threads are started -> run_window: warm-up, sample, measure, sample, drain -> the report.
// Thread: main runs the window; each client thread reads the phase and counts in a struct of its own.
#ifndef BENCH_WINDOW_H
#define BENCH_WINDOW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN };

struct client_thread {
  pthread_t thread;
  struct histogram latency;
  _Atomic uint64_t messages;  // Writer: this thread. Reader: main.
  // Read by main when the thread has ended.
  uint64_t faults;
  uint64_t lost;  // Of the faults: messages that have not arrived where they should.
};

// Writer: main. A thread sees a new phase at its next look.
extern _Atomic int window_phase;

static inline int current_phase(void) {
  return atomic_load_explicit(&window_phase, memory_order_relaxed);
}

// Main's part once all threads run: lets the phases pass, waits for the threads' end and prints
// the JSON line. `first` begins the first of options.threads structs of `stride` bytes. Returns the
// number of faults; a window without a message is one.
uint64_t run_window(const struct client_thread *first, size_t stride);

#endif
