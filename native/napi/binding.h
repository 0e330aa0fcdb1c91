// What: every Node-API call of the addon: arguments in, values out, no rule of its own.
// Flow: src/binding.ts -> this -> loop, driver, shared.
// Thread: any thread that loads the addon; one state per environment.
#pragma once

#include <napi.h>

namespace binding {

Napi::Object init(Napi::Env env, Napi::Object exports);

}  // namespace binding
