// What: what one wake takes here: from a write to an eventfd until its reader, on another core, runs.
// Flow: sleep -> stamp -> write -> the reader is woken -> now minus the stamp.
// Thread: main writes on one core, one thread reads on the other.
//
// wake CORE CORE SECONDS INTERVAL_MS
//
// The reader's core is idle for the interval before each wake, so that it may sleep deeply; with 0
// the next wake follows at once.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "histogram.h"
#include "load_client.h"

#define CORES_MAX 1024
#define SECONDS_MAX 600
#define INTERVAL_MS_MAX 10000

static int there;
static int back;
static _Atomic uint64_t written_ns;  // 0: the end.
static struct histogram latency;     // Writer: the reading thread.

static void pin_to(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (pthread_setaffinity_np(pthread_self(), sizeof cores, &cores) != 0) {
    fail_setup("core", "is not one that this process may use");
  }
}

static void signal_to(int event) {
  uint64_t one = 1;
  if (write(event, &one, sizeof one) != sizeof one) fail_setup("eventfd", "cannot be written");
}

static void wait_for(int event) {
  uint64_t count;
  if (read(event, &count, sizeof count) != sizeof count) fail_setup("eventfd", "cannot be read");
}

static void *read_wakes(void *core) {
  pin_to(*(const int *)core);
  for (;;) {
    wait_for(there);
    uint64_t woken_ns = now_ns();
    uint64_t from_ns = atomic_load(&written_ns);
    if (from_ns == 0) return NULL;
    histogram_add(&latency, woken_ns - from_ns);
    signal_to(back);
  }
}

static double percentile_us(double percent) {
  return (double)histogram_percentile(&latency, percent) / 1e3;
}

int main(int count, char **values) {
  double numbers[4] = {0};
  static const double most[4] = {CORES_MAX - 1, CORES_MAX - 1, SECONDS_MAX, INTERVAL_MS_MAX};
  bool good = count == 5;
  for (int i = 0; i < 4 && good; i++) {
    numbers[i] = atof(values[i + 1]);
    good = numbers[i] >= 0 && numbers[i] <= most[i];
  }
  if (!good) {
    fprintf(stderr, "usage: %s CORE CORE SECONDS INTERVAL_MS\n", values[0]);
    return EXIT_USAGE;
  }
  int reader_core = (int)numbers[1];
  there = eventfd(0, EFD_CLOEXEC);
  back = eventfd(0, EFD_CLOEXEC);
  pthread_t reader;
  if (there < 0 || back < 0 || pthread_create(&reader, NULL, read_wakes, &reader_core) != 0) {
    fail_setup("wake", "no eventfd or no thread");
  }
  pin_to((int)numbers[0]);
  uint64_t end_ns = now_ns() + seconds_to_ns(numbers[2]);
  while (now_ns() < end_ns) {
    sleep_ns((uint64_t)(numbers[3] * NS_PER_MS));
    atomic_store(&written_ns, now_ns());
    signal_to(there);
    wait_for(back);
  }
  atomic_store(&written_ns, 0);
  signal_to(there);
  pthread_join(reader, NULL);
  printf("{\"wakes\":%llu,\"p50_us\":%.6g,\"p99_us\":%.6g}\n", (unsigned long long)latency.count,
         percentile_us(50), percentile_us(99));
  return latency.count > 0 ? EXIT_GOOD : EXIT_FAULT;
}
