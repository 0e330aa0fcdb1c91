// What: every Node-API call of the addon: arguments in, values out, no rule of its own.
// Flow: src/binding.ts -> this -> loop, driver, shared.
// Thread: any thread that loads the addon; one state per environment.
#include "napi/binding.h"

#include <map>
#include <memory>

#include "driver/driver.h"
#include "driver/socket.h"
#include "layout/layout.h"
#include "loop/acceptor.h"
#include "loop/loop.h"
#include "shared/runtime.h"

namespace binding {

namespace {

using Napi::CallbackInfo;
using Napi::Value;

/** What one environment holds. */
struct State {
  /** Deletes itself when the environment ends. */
  loop::Loop* loop = nullptr;
  std::map<int32_t, std::unique_ptr<loop::Acceptor>> acceptors;
  std::map<int32_t, std::vector<base::Fd>> listeners;
  /** Strong references to the memories, or the garbage collector may free them under the kernel. */
  std::map<int32_t, std::vector<Napi::Reference<Napi::Uint8Array>>> memories;
};

State& state_of(Napi::Env env) { return *env.GetInstanceData<State>(); }

int32_t integer(const CallbackInfo& info, size_t index) { return info[index].As<Napi::Number>().Int32Value(); }
bool boolean(const CallbackInfo& info, size_t index) { return info[index].As<Napi::Boolean>().Value(); }

Value fail(Napi::Env env, const std::string& sentence) {
  Napi::Error::New(env, sentence).ThrowAsJavaScriptException();
  return env.Undefined();
}

/** { errno } or { value }: system errors are outcomes, src/ gives them their sentence. */
Value outcome(Napi::Env env, int error, int32_t value) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("errno", error);
  result.Set("value", value);
  return result;
}

Value layout_hash(const CallbackInfo& info) { return Napi::Number::New(info.Env(), layout::kLayoutHash); }

/** probeDriver(): { reason: string ('' when usable), features: number } */
Value probe_driver(const CallbackInfo& info) {
  uint32_t features = 0;
  std::string reason = driver::probe_driver(&features);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("reason", reason);
  result.Set("features", features);
  return result;
}

/** createRuntime(control: Uint8Array, arena: Uint8Array): id */
Value create_runtime(const CallbackInfo& info) {
  auto control = info[0].As<Napi::Uint8Array>();
  auto arena = info[1].As<Napi::Uint8Array>();
  shared::Memory memory{reinterpret_cast<int32_t*>(control.Data()), arena.Data()};
  if (memory.control().magic != layout::kMagic || memory.control().layout_hash != layout::kLayoutHash) {
    return fail(info.Env(), "the control memory has another layout than this addon");
  }
  int32_t id = shared::add_runtime(std::make_shared<shared::Runtime>(memory));
  auto& held = state_of(info.Env()).memories[id];
  held.push_back(Napi::Persistent(control));
  held.push_back(Napi::Persistent(arena));
  return Napi::Number::New(info.Env(), id);
}

/** destroyRuntime(id): after every worker has ended. */
Value destroy_runtime(const CallbackInfo& info) {
  State& state = state_of(info.Env());
  int32_t id = integer(info, 0);
  state.acceptors.erase(id);
  state.listeners.erase(id);
  state.memories.erase(id);
  shared::remove_runtime(id);
  return info.Env().Undefined();
}

/** listen(id, host, port, backlog, noDelay, sendBufferBytes, receiveBufferBytes): { errno, value: port } */
Value listen(const CallbackInfo& info) {
  shared::SocketAddress address;
  socklen_t length;
  if (!driver::parse_address(info[1].As<Napi::String>(), integer(info, 2), &address, &length)) {
    return outcome(info.Env(), driver::kAddressUnavailable, 0);
  }
  driver::SocketOptions options{boolean(info, 4), integer(info, 5), integer(info, 6)};
  base::Fd fd;
  int error = driver::open_listener(address, options, integer(info, 3), &fd);
  if (error != 0) return outcome(info.Env(), error, 0);
  int port = driver::local_port(fd.get());
  state_of(info.Env()).listeners[integer(info, 0)].push_back(std::move(fd));
  return outcome(info.Env(), 0, port);
}

/**
 * startAccepting(id, thread, kind, featuresForbidden): on the listeners of the runtime, in the order in which they
 * were opened. A single worker accepts by itself; several have an accept thread that chooses among them.
 */
Value start_accepting(const CallbackInfo& info) {
  State& state = state_of(info.Env());
  int32_t id = integer(info, 0);
  auto runtime = shared::find_runtime(id);
  if (runtime->memory().control().worker_count == 1) {
    constexpr int32_t kWorker = 1;
    int32_t index = 0;
    for (base::Fd& listener : state.listeners[id]) {
      shared::TransitSocket given;
      given.fd = std::move(listener);
      given.listener = index++;
      given.listens = true;
      runtime->inbox(kWorker).push(std::move(given));
    }
    state.listeners.erase(id);
    runtime->wake(kWorker);
    return info.Env().Undefined();
  }
  auto acceptor = std::make_unique<loop::Acceptor>(std::move(runtime), integer(info, 1),
                                                   static_cast<driver::Kind>(integer(info, 2)),
                                                   info[3].As<Napi::Number>().Uint32Value());
  for (base::Fd& listener : state.listeners[id]) acceptor->add(std::move(listener));
  state.listeners.erase(id);
  std::string why = acceptor->start();
  if (!why.empty()) return fail(info.Env(), why);
  state.acceptors[id] = std::move(acceptor);
  return info.Env().Undefined();
}

/** stopAccepting(id): ends accepting, closes listeners; returns when the accept thread has ended. */
Value stop_accepting(const CallbackInfo& info) {
  State& state = state_of(info.Env());
  state.acceptors.erase(integer(info, 0));
  state.listeners.erase(integer(info, 0));
  return info.Env().Undefined();
}

/** signal(id, thread): wakes a thread whose parked word was exchanged from 1 to 0. */
Value signal(const CallbackInfo& info) {
  auto runtime = shared::find_runtime(integer(info, 0));
  if (runtime != nullptr) runtime->signal(integer(info, 1));
  return info.Env().Undefined();
}

/** aliasArena(id, offset, length, arena): ArrayBuffer over arena memory, not shared as far as V8 knows. */
Value alias_arena(const CallbackInfo& info) {
  auto runtime = shared::find_runtime(integer(info, 0));
  if (runtime == nullptr) return fail(info.Env(), "the runtime has ended");
  napi_value buffer;
  auto length = static_cast<size_t>(integer(info, 2));
  // Users may keep a view beyond the runtime's end: each alias holds the shared memory that it is a part of.
  auto* held = new Napi::Reference<Napi::Uint8Array>(Napi::Persistent(info[3].As<Napi::Uint8Array>()));
  auto let_go = [](napi_env, void*, void* hint) { delete static_cast<Napi::Reference<Napi::Uint8Array>*>(hint); };
  napi_status status = napi_create_external_arraybuffer(info.Env(), runtime->memory().arena + integer(info, 1), length,
                                                        let_go, held, &buffer);
  if (status != napi_ok) {
    delete held;
    return info.Env().Null();
  }
  return Value(info.Env(), buffer);
}

/** openLoop(id, thread, kind, batch, featuresForbidden, control, arena, turn): '' or why it failed. */
Value open_loop(const CallbackInfo& info) {
  State& state = state_of(info.Env());
  loop::LoopOptions options;
  int32_t id = integer(info, 0);
  options.runtime = shared::find_runtime(id);
  if (options.runtime == nullptr) return fail(info.Env(), "the runtime has ended");
  if (state.loop != nullptr) return fail(info.Env(), "this thread has a loop already");
  options.thread = integer(info, 1);
  options.kind = static_cast<driver::Kind>(integer(info, 2));
  options.batch = info[3].As<Napi::Number>().Uint32Value();
  options.features_forbidden = info[4].As<Napi::Number>().Uint32Value();
  auto& held = state.memories[id];
  held.push_back(Napi::Persistent(info[5].As<Napi::Uint8Array>()));
  held.push_back(Napi::Persistent(info[6].As<Napi::Uint8Array>()));
  auto* opened = new loop::Loop();
  std::string why = opened->open(info.Env(), options, info[7]);
  // A loop that failed to open has no hook and lives on as a few empty fields until the process ends.
  if (why.empty()) state.loop = opened;
  return Napi::String::New(info.Env(), why);
}

napi_value submit(napi_env env, napi_callback_info) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  loop::Loop* current = static_cast<State*>(data)->loop;
  napi_value waiting;
  napi_create_uint32(env, current == nullptr ? 0 : current->submit(), &waiting);
  return waiting;
}

/** handOver(): the driver knows what was submitted; the kernel may hear of it with the next wait. */
Value hand_over(const CallbackInfo& info) {
  State& state = state_of(info.Env());
  if (state.loop != nullptr) state.loop->hand_over();
  return info.Env().Undefined();
}

/** closeListeners(): ends accepting in this thread, where it does. */
Value close_listeners(const CallbackInfo& info) {
  State& state = state_of(info.Env());
  if (state.loop != nullptr) state.loop->stop_accepting();
  return info.Env().Undefined();
}

Value close_loop(const CallbackInfo& info) {
  State& state = state_of(info.Env());
  if (state.loop != nullptr) state.loop->close();
  state.loop = nullptr;
  return info.Env().Undefined();
}

Value address_pair(Napi::Env env, const shared::SocketAddress* address) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("host", address == nullptr ? "" : driver::host_text(*address));
  result.Set("port", address == nullptr ? 0 : driver::port_of(*address));
  return result;
}

/** transitAddress(token): { host, port } of a socket that no session has yet. */
Value transit_address(const CallbackInfo& info) {
  const shared::TransitSocket* socket = state_of(info.Env()).loop->driver()->transit().find(integer(info, 0));
  return address_pair(info.Env(), socket == nullptr ? nullptr : &socket->peer);
}

/** peerAddress(slot, generation): { host, port } of an attached session. */
Value peer_address(const CallbackInfo& info) {
  loop::Loop* current = state_of(info.Env()).loop;
  return address_pair(info.Env(), current == nullptr ? nullptr : current->driver()->peer(integer(info, 0), info[1].As<Napi::Number>().Uint32Value()));
}

/** sessionAddress(id, slot): { host, port } of the peer of whatever session the slot holds. */
Value session_address(const CallbackInfo& info) {
  auto runtime = shared::find_runtime(integer(info, 0));
  if (runtime == nullptr) return address_pair(info.Env(), nullptr);
  shared::SocketAddress peer = shared::read_peer(runtime->memory().session(integer(info, 1)));
  return address_pair(info.Env(), &peer);
}

/** prepareConnect(host, port, noDelay, sendBufferBytes, receiveBufferBytes): { errno, value: token } */
Value prepare_connect(const CallbackInfo& info) {
  shared::TransitSocket socket;
  socklen_t length;
  if (!driver::parse_address(info[0].As<Napi::String>(), integer(info, 1), &socket.peer, &length)) {
    return outcome(info.Env(), driver::kAddressUnavailable, 0);
  }
  driver::SocketOptions options{boolean(info, 2), integer(info, 3), integer(info, 4)};
  int error = driver::open_outbound(socket.peer, options, &socket.fd);
  if (error != 0) return outcome(info.Env(), error, 0);
  return outcome(info.Env(), 0, state_of(info.Env()).loop->driver()->transit().put(std::move(socket)));
}

}  // namespace

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new State());
  auto add = [&](const char* name, Value (*function)(const CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("layoutHash", layout_hash);
  add("probeDriver", probe_driver);
  add("createRuntime", create_runtime);
  add("destroyRuntime", destroy_runtime);
  add("listen", listen);
  add("startAccepting", start_accepting);
  add("stopAccepting", stop_accepting);
  add("signal", signal);
  add("aliasArena", alias_arena);
  add("openLoop", open_loop);
  add("handOver", hand_over);
  add("closeListeners", close_listeners);
  add("closeLoop", close_loop);
  add("transitAddress", transit_address);
  add("peerAddress", peer_address);
  add("sessionAddress", session_address);
  add("prepareConnect", prepare_connect);
  // The one function that is called once per turn goes without the C++ wrapper.
  napi_value function;
  napi_create_function(env, "submit", NAPI_AUTO_LENGTH, submit, nullptr, &function);
  exports.Set("submit", Value(env, function));
  return exports;
}

}  // namespace binding
