// What: one line of JSON on stdout for the analyses' C programs: numbers, histograms, clocks.
// Flow: what a program has counted -> report_begin, numbers and histograms, report_end -> the script that started it.
// Thread: main of a program; the clocks are any thread's.
#ifndef BENCH_SCENARIO_REPORT_H
#define BENCH_SCENARIO_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "../load/histogram.h"

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static bool report_has_members;

static inline void report_name(const char *name) {
  printf("%s\"%s\":", report_has_members ? "," : "", name);
  report_has_members = true;
}

static inline void report_begin(void) {
  printf("{");
  report_has_members = false;
}

static inline void report_number(const char *name, double value) {
  report_name(name);
  printf("%.9g", value);
}

static inline void report_end(void) {
  printf("}\n");
  fflush(stdout);
}

// Count, mean, percentiles, and the counts by powers of two: the first is of 0, the next of 1, of 2 to 3, of 4 to 7, …
static inline void report_histogram(const char *name, const struct histogram *histogram) {
  uint64_t powers[65] = {0};
  double sum = 0;
  int last = 0;
  for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
    if (histogram->buckets[i] == 0) continue;
    uint64_t middle = histogram_middle(i);
    int power = middle == 0 ? 0 : 64 - __builtin_clzll(middle);
    powers[power] += histogram->buckets[i];
    sum += (double)middle * (double)histogram->buckets[i];
    if (power > last) last = power;
  }
  bool any = histogram->count > 0;
  report_name(name);
  printf("{\"count\":%llu,\"mean\":%.6g", (unsigned long long)histogram->count,
         any ? sum / (double)histogram->count : 0);
  static const double percents[] = {50, 90, 99, 99.9};
  static const char *const names[] = {"p50", "p90", "p99", "p999"};
  for (int i = 0; i < 4; i++) {
    printf(",\"%s\":%llu", names[i],
           (unsigned long long)(any ? histogram_percentile(histogram, percents[i]) : 0));
  }
  printf(",\"max\":%llu,\"zeros\":%llu,\"powers\":[", (unsigned long long)histogram->largest,
         (unsigned long long)histogram->buckets[0]);
  for (int i = 0; i <= last; i++) printf("%s%llu", i ? "," : "", (unsigned long long)powers[i]);
  printf("]}");
}

#endif
