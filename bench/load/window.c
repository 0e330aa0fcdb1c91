// What: the measured window of a run with client threads: its phases, and what each thread counted.
// Flow: threads are started -> run_window: warm-up, sample, measure, sample, drain -> the report.
// Thread: main.
#define _GNU_SOURCE
#include "window.h"

#include "load_client.h"
#include "measure.h"

_Atomic int window_phase;

// Client threads, each at the beginning of a larger struct.
struct threads {
  const struct client_thread *first;
  size_t stride;
};

static const struct client_thread *thread_at(struct threads threads, int index) {
  return (const void *)((const uint8_t *)threads.first + (size_t)index * threads.stride);
}

static uint64_t count_messages(struct threads threads) {
  uint64_t total = 0;
  for (int i = 0; i < options.threads; i++) {
    total += atomic_load_explicit(&thread_at(threads, i)->messages, memory_order_relaxed);
  }
  return total;
}

uint64_t run_window(const struct client_thread *first, size_t stride) {
  struct threads threads = {first, stride};
  sleep_ns(seconds_to_ns(options.warmup));
  struct sample begin = take_sample();
  uint64_t messages = count_messages(threads);
  atomic_store(&window_phase, PHASE_MEASURE);
  sleep_until_ns(begin.at_ns + seconds_to_ns(options.seconds));
  messages = count_messages(threads) - messages;
  struct sample end = take_sample();
  atomic_store(&window_phase, PHASE_DRAIN);

  uint64_t resident = server_resident_bytes();
  struct histogram *latency = allocate(1, sizeof *latency);
  uint64_t faults = 0;
  uint64_t lost = 0;
  for (int i = 0; i < options.threads; i++) {
    const struct client_thread *thread = thread_at(threads, i);
    pthread_join(thread->thread, NULL);
    histogram_merge(latency, &thread->latency);
    faults += thread->faults;
    lost += thread->lost;
  }
  if (messages == 0) faults++;
  report_begin();
  report_window(&begin, &end, messages);
  report_latency("", latency);
  report_number("server_resident_bytes", (double)resident);
  report_number("lost", (double)lost);
  report_end(faults);
  return faults;
}
