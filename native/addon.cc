// What: the addon's entry point.
// Flow: process.dlopen -> this -> napi/binding.
// Thread: every thread that loads the addon.
#include "napi/binding.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) { return binding::init(env, exports); }

}  // namespace

NODE_API_MODULE(overlapped, init)
