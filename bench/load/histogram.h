// What: a histogram of latencies: powers of two, each split in 32, so within 3 % of the value.
// Flow: histogram_add per message -> histogram_merge over threads -> histogram_percentile.
// Thread: one writer; merged after its thread has ended.
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 5
#define HISTOGRAM_STEPS (1u << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS)

struct histogram {
  uint64_t count;
  uint64_t largest;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

// Values below HISTOGRAM_STEPS have a bucket each; above, a power of two has HISTOGRAM_STEPS.
static inline uint32_t histogram_bucket(uint64_t value) {
  if (value < HISTOGRAM_STEPS) return (uint32_t)value;
  uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
  return (shift << HISTOGRAM_STEP_BITS) + (uint32_t)(value >> shift);
}

static inline uint64_t histogram_middle(uint32_t bucket) {
  if (bucket < HISTOGRAM_STEPS) return bucket;
  uint32_t shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
  uint64_t steps = bucket - (shift << HISTOGRAM_STEP_BITS);
  return (steps << shift) + ((1ull << shift) >> 1);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value) {
  histogram->buckets[histogram_bucket(value)]++;
  histogram->count++;
  if (value > histogram->largest) histogram->largest = value;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from) {
  for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) into->buckets[i] += from->buckets[i];
  into->count += from->count;
  if (from->largest > into->largest) into->largest = from->largest;
}

static inline uint64_t histogram_percentile(const struct histogram *histogram, double percent) {
  uint64_t rank = (uint64_t)((double)histogram->count * percent / 100.0);
  uint64_t seen = 0;
  for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->buckets[i];
    if (seen > rank) {
      uint64_t middle = histogram_middle(i);
      return middle < histogram->largest ? middle : histogram->largest;
    }
  }
  return histogram->largest;
}

#endif
