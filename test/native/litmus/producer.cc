// What: a native thread that fills a completion ring from outside, for the alias litmus test; no part of the addon.
// Flow: alias_litmus.test.ts compiles it -> litmus_thread.mjs starts it -> native/shared/completion_ring.h.
// Thread: start and stop: a worker; the producer: its own.
#include <node_api.h>

#include <atomic>
#include <thread>

#include "shared/completion_ring.h"
#include "shared/memory.h"

namespace {

std::thread producer;
std::atomic<bool> stopping{false};

/** As byteOf and lengthOf of litmus_thread.mjs. */
uint8_t byte_of(uint32_t seed, uint32_t i) { return static_cast<uint8_t>((seed >> (8 * (i & 3))) ^ (i * 37)); }
uint32_t length_of(uint32_t seed) { return 4 + 4 * (seed % 29); }

void produce(shared::Memory memory, int32_t thread_id, uint32_t rounds, uint32_t stride, uint32_t payload_at) {
  const layout::Control& control = memory.control();
  layout::Thread& thread = memory.thread(thread_id);
  auto capacity = static_cast<uint32_t>(control.completion_capacity);
  auto* entries = reinterpret_cast<layout::Completion*>(memory.words + control.completions_at) +
                  static_cast<uint32_t>(thread_id - 1) * capacity;
  shared::CompletionRing ring(entries, capacity, &thread.completion_head, &thread.completion_tail);
  for (uint32_t seed = 0; seed < rounds && !stopping;) {
    // A batch at a time, as a driver reaps.
    uint32_t batch = 1 + (seed & 7);
    for (; batch > 0 && seed < rounds && ring.space() > 0; batch--, seed++) {
      uint32_t at = payload_at + (seed & (capacity - 1)) * stride;
      for (uint32_t i = 0; i < length_of(seed); i++) memory.arena[at + i] = byte_of(seed, i);
      layout::Completion completion{};
      completion.slot = static_cast<int32_t>(seed);
      completion.offset = static_cast<int32_t>(at);
      completion.result = static_cast<int32_t>(length_of(seed));
      ring.claim(completion);
    }
    ring.commit();
    if (ring.space() == 0) std::this_thread::yield();
  }
}

napi_value start(napi_env env, napi_callback_info info) {
  napi_value arguments[6];
  size_t count = 6;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  void* memories[2];
  uint32_t numbers[4];
  for (int i = 0; i < 2; i++) {
    napi_get_typedarray_info(env, arguments[i], nullptr, nullptr, &memories[i], nullptr, nullptr);
  }
  for (int i = 0; i < 4; i++) napi_get_value_uint32(env, arguments[2 + i], &numbers[i]);
  stopping = false;
  shared::Memory memory{static_cast<int32_t*>(memories[0]), static_cast<uint8_t*>(memories[1])};
  producer = std::thread(produce, memory, static_cast<int32_t>(numbers[0]), numbers[1], numbers[2], numbers[3]);
  return nullptr;
}

napi_value stop(napi_env, napi_callback_info) {
  stopping = true;
  producer.join();
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "start", NAPI_AUTO_LENGTH, start, nullptr, &function);
  napi_set_named_property(env, exports, "start", function);
  napi_create_function(env, "stop", NAPI_AUTO_LENGTH, stop, nullptr, &function);
  napi_set_named_property(env, exports, "stop", function);
  return exports;
}
