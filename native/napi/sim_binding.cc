// What: Node-API calls of the simulation: worlds, the steps of their workers, their clients. A separate addon, for tests.
// Flow: test/sim -> this -> loop::Round, sim::World, sim::SimDriver.
// Thread: the test's.
#include <napi.h>

#include <memory>
#include <vector>

#include "driver/sim/sim_driver.h"
#include "driver/sim/world.h"
#include "driver/socket.h"
#include "layout/layout.h"
#include "loop/round.h"
#include "shared/runtime.h"

namespace binding {

namespace {

using driver::sim::Connection;
using driver::sim::SimDriver;
using driver::sim::World;
using Napi::CallbackInfo;
using Napi::Value;

// What clientRecv returns when there are no bytes.
constexpr int kNothingYet = 0;
constexpr int kEnded = -1;
constexpr int kReset = -2;

struct Worker {
  loop::Round round;
  SimDriver* driver = nullptr;  // the round's
};

struct Simulation {
  Simulation(shared::Memory memory, driver::sim::Options options)
      : runtime(std::make_shared<shared::Runtime>(memory)), world(std::move(options)) {}
  std::shared_ptr<shared::Runtime> runtime;
  World world;
  std::vector<std::unique_ptr<Worker>> workers;  // by thread id
  Napi::Reference<Napi::Uint8Array> control;
  Napi::Reference<Napi::Uint8Array> arena;
};

/** One world at a time is made in an environment, and named by its number in each call. */
struct State {
  std::vector<std::unique_ptr<Simulation>> simulations;
};

State& state_of(const CallbackInfo& info) { return *info.Env().GetInstanceData<State>(); }

int32_t integer(const CallbackInfo& info, size_t index) { return info[index].As<Napi::Number>().Int32Value(); }
Simulation& simulation(const CallbackInfo& info) {
  return *state_of(info).simulations[static_cast<size_t>(integer(info, 0))];
}
Worker& worker(const CallbackInfo& info) { return *simulation(info).workers[static_cast<size_t>(integer(info, 1))]; }
Connection& connection(const CallbackInfo& info) { return simulation(info).world.at(integer(info, 1)); }
Value number(const CallbackInfo& info, double value) { return Napi::Number::New(info.Env(), value); }

Value layout_hash(const CallbackInfo& info) { return number(info, layout::kLayoutHash); }

/** create(control, arena, seed, permille: Int32Array, pipeBytes, bug): number of the world */
Value create(const CallbackInfo& info) {
  auto control = info[0].As<Napi::Uint8Array>();
  auto arena = info[1].As<Napi::Uint8Array>();
  auto permille = info[3].As<Napi::Int32Array>();
  driver::sim::Options options;
  options.seed = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  options.permille.assign(permille.Data(), permille.Data() + permille.ElementLength());
  options.pipe_bytes = integer(info, 4);
  options.bug = static_cast<driver::sim::Bug>(integer(info, 5));
  shared::Memory memory{reinterpret_cast<int32_t*>(control.Data()), arena.Data()};
  auto made = std::make_unique<Simulation>(memory, std::move(options));
  made->workers.resize(static_cast<size_t>(memory.control().thread_count));
  made->control = Napi::Persistent(control);
  made->arena = Napi::Persistent(arena);
  auto& simulations = state_of(info).simulations;
  simulations.push_back(std::move(made));
  return number(info, static_cast<double>(simulations.size() - 1));
}

/** destroy(world): the one that was made last. */
Value destroy(const CallbackInfo& info) {
  auto& simulations = state_of(info).simulations;
  OVERLAPPED_CHECK(static_cast<size_t>(integer(info, 0)) + 1 == simulations.size());
  for (auto& worker : simulations.back()->workers) {
    if (worker != nullptr) worker->round.close();
  }
  simulations.pop_back();
  return info.Env().Undefined();
}

/** alias(arena): ArrayBuffer over it that V8 does not take for shared. */
Value alias(const CallbackInfo& info) {
  auto arena = info[0].As<Napi::Uint8Array>();
  auto* held = new Napi::Reference<Napi::Uint8Array>(Napi::Persistent(arena));
  auto let_go = [](napi_env, void*, void* hint) { delete static_cast<Napi::Reference<Napi::Uint8Array>*>(hint); };
  napi_value buffer;
  napi_status status =
      napi_create_external_arraybuffer(info.Env(), arena.Data(), arena.ByteLength(), let_go, held, &buffer);
  if (status == napi_ok) return Value(info.Env(), buffer);
  delete held;
  return info.Env().Null();
}

/** openWorker(world, thread, batch): '' or why not */
Value open_worker(const CallbackInfo& info) {
  Simulation& sim = simulation(info);
  auto thread = integer(info, 1);
  auto made = std::make_unique<Worker>();
  auto driver = std::make_unique<SimDriver>(sim.world);
  made->driver = driver.get();
  std::string why = made->round.open(sim.runtime, thread, std::move(driver), static_cast<uint32_t>(integer(info, 2)), -1, 0);
  sim.workers[static_cast<size_t>(thread)] = std::move(made);
  return Napi::String::New(info.Env(), why);
}

/** closeWorker(world, thread): whatever is pending; nothing may be asked of it any more */
Value close_worker(const CallbackInfo& info) {
  worker(info).round.close();
  simulation(info).workers[static_cast<size_t>(integer(info, 1))].reset();
  return info.Env().Undefined();
}

// --- the steps of a worker ---------------------------------------------------------------------

/** handOver(world, thread) */
Value hand_over(const CallbackInfo& info) {
  worker(info).round.hand_over(false);
  return info.Env().Undefined();
}

/** look(world, thread, timeoutMs): timeoutMs, or 0 when there is work */
Value look(const CallbackInfo& info) {
  return number(info, static_cast<double>(worker(info).round.look(integer(info, 2))));
}

/** park(world, thread, timeoutMs): as Round::park; the wait begins */
Value park(const CallbackInfo& info) {
  Worker& stepped = worker(info);
  int64_t timeout_ms = stepped.round.park(integer(info, 2));
  stepped.driver->begin_wait();
  return number(info, static_cast<double>(timeout_ms));
}

/** ready(world, thread): whether the wait would end now */
Value ready(const CallbackInfo& info) { return Napi::Boolean::New(info.Env(), worker(info).driver->ready()); }

/** wait(world, thread, timeoutMs): the wait ends; whether a turn follows */
Value wait(const CallbackInfo& info) {
  Worker& stepped = worker(info);
  stepped.round.wait(integer(info, 2));
  stepped.round.take_inbox();
  return Napi::Boolean::New(info.Env(), stepped.round.has_work());
}

/** submit(world, thread): completions that wait */
Value submit(const CallbackInfo& info) { return number(info, worker(info).round.submit()); }

Value has_work(const CallbackInfo& info) { return Napi::Boolean::New(info.Env(), worker(info).round.has_work()); }

/** oversleeps(world, thread): whether there is work and nobody has signalled; for a thread that sleeps */
Value oversleeps(const CallbackInfo& info) {
  Worker& asleep = worker(info);
  return Napi::Boolean::New(info.Env(), asleep.round.has_work() && !asleep.driver->signalled());
}

/** signal(world, thread) */
Value signal(const CallbackInfo& info) {
  worker(info).driver->signal();
  return info.Env().Undefined();
}

/** freeBuffers(world, thread): receive buffers that the driver has */
Value free_buffers(const CallbackInfo& info) {
  return number(info, static_cast<double>(worker(info).driver->free_buffers()));
}

/** transitPort(world, thread, token), peerPort(world, thread, slot, generation): 0 when there is none */
Value transit_port(const CallbackInfo& info) {
  const shared::TransitSocket* socket = worker(info).driver->transit().find(integer(info, 2));
  return number(info, socket == nullptr ? 0 : driver::port_of(socket->peer));
}

Value peer_port(const CallbackInfo& info) {
  const shared::SocketAddress* address =
      worker(info).driver->peer(integer(info, 2), info[3].As<Napi::Number>().Uint32Value());
  return number(info, address == nullptr ? 0 : driver::port_of(*address));
}

/** prepareConnect(world, thread): token */
Value prepare_connect(const CallbackInfo& info) {
  return number(info, worker(info).driver->transit().put(SimDriver::transit_socket(-1, -1)));
}

// --- the world ---------------------------------------------------------------------------------

/** advance(world, ns): time passes, and what is due arrives */
Value advance(const CallbackInfo& info) {
  World& world = simulation(info).world;
  world.advance(info[1].As<Napi::Number>().Int64Value());
  world.deliver();
  return info.Env().Undefined();
}

/** nextDue(world): nanoseconds from now until something is due; -1: nothing is */
Value next_due(const CallbackInfo& info) {
  Simulation& sim = simulation(info);
  int64_t next = sim.world.next_due();
  for (const auto& each : sim.workers) {
    if (each == nullptr) continue;
    int64_t due = each->driver->next_due();
    if (due >= 0 && (next < 0 || due < next)) next = due;
  }
  return number(info, next < 0 ? -1 : static_cast<double>(std::max<int64_t>(1, next - sim.world.now_ns())));
}

/** Wakes a worker that is parked, after a push on its inbox. */
void wake(Simulation& sim, int32_t thread) {
  // order: seq_cst; the push came before it [WAKE-1]
  if (shared::atomic(sim.runtime->memory().thread(thread).parked).exchange(0) == 1) {
    sim.workers[static_cast<size_t>(thread)]->driver->signal();
  }
}

/** listen(world, thread, count): a server's single worker gets its listeners */
Value listen(const CallbackInfo& info) {
  Simulation& sim = simulation(info);
  int32_t thread = integer(info, 1);
  for (int32_t listener = 0; listener < integer(info, 2); listener++) {
    shared::TransitSocket given = SimDriver::transit_socket(0, listener);
    given.listens = true;
    sim.runtime->inbox(thread).push(std::move(given));
  }
  wake(sim, thread);
  return info.Env().Undefined();
}

/** closeListeners(world, thread): ends accepting, where the worker does */
Value close_listeners(const CallbackInfo& info) {
  worker(info).round.stop_accepting();
  return info.Env().Undefined();
}

/** knock(world, listener): a connection that who has the listener may accept; its number */
Value knock(const CallbackInfo& info) { return number(info, simulation(info).world.knock(integer(info, 1))); }

/** connect(world, listener, thread): a connection that the accept thread gives to this worker; its number */
Value connect(const CallbackInfo& info) {
  Simulation& sim = simulation(info);
  int32_t listener = integer(info, 1);
  int32_t thread = integer(info, 2);
  int32_t made = sim.world.add(listener);
  layout::Thread& block = sim.runtime->memory().thread(thread);
  shared::atomic(block.assigned_sessions).fetch_add(1);
  sim.runtime->inbox(thread).push(SimDriver::transit_socket(made, listener));
  wake(sim, thread);
  return number(info, made);
}

/** connections(world): how many there have been; connect() of a worker makes them too */
Value connections(const CallbackInfo& info) { return number(info, simulation(info).world.count()); }

/** openSockets(world): sockets that the server has */
Value open_sockets(const CallbackInfo& info) {
  World& world = simulation(info).world;
  int32_t open = 0;
  for (int32_t i = 0; i < world.count(); i++) open += world.at(i).server_open ? 1 : 0;
  return number(info, open);
}

/** violation(world): the first breach of the driver contract; '' when there is none */
Value violation(const CallbackInfo& info) { return Napi::String::New(info.Env(), simulation(info).world.violation()); }

/** faults(world, counts: Float64Array): adds how often each happened */
Value faults(const CallbackInfo& info) {
  auto counts = info[1].As<Napi::Float64Array>();
  for (size_t i = 0; i < counts.ElementLength(); i++) {
    counts[i] = counts[i] + simulation(info).world.count_of(static_cast<driver::sim::Fault>(i));
  }
  return info.Env().Undefined();
}

// --- clients -----------------------------------------------------------------------------------

/** clientSend(world, connection, bytes, start, end): how many were taken */
Value client_send(const CallbackInfo& info) {
  auto bytes = info[2].As<Napi::Uint8Array>();
  int32_t start = integer(info, 3);
  auto count = static_cast<size_t>(integer(info, 4) - start);
  return number(info, static_cast<double>(simulation(info).world.client_send(connection(info), bytes.Data() + start, count)));
}

/** clientRecv(world, connection, bytes): how many; 0: none yet, -1: the stream has ended, -2: it was reset */
Value client_recv(const CallbackInfo& info) {
  auto bytes = info[2].As<Napi::Uint8Array>();
  Connection& from = connection(info);
  size_t count = from.to_client.read(bytes.Data(), bytes.ByteLength());
  if (count > 0) return number(info, static_cast<double>(count));
  if (from.client_reset) return number(info, kReset);
  return number(info, from.to_client.ended() ? kEnded : kNothingYet);
}

Value client_end(const CallbackInfo& info) {
  simulation(info).world.client_end(connection(info));
  return info.Env().Undefined();
}

Value client_close(const CallbackInfo& info) {
  simulation(info).world.client_close(connection(info));
  return info.Env().Undefined();
}

Value client_reset(const CallbackInfo& info) {
  simulation(info).world.client_reset(connection(info));
  return info.Env().Undefined();
}

/** takenFromServer(world, connection): bytes that sends have taken */
Value taken_from_server(const CallbackInfo& info) {
  return number(info, static_cast<double>(connection(info).taken_from_server));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new State());
  auto add = [&](const char* name, Value (*function)(const CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("layoutHash", layout_hash);
  add("create", create);
  add("destroy", destroy);
  add("alias", alias);
  add("openWorker", open_worker);
  add("closeWorker", close_worker);
  add("handOver", hand_over);
  add("look", look);
  add("park", park);
  add("ready", ready);
  add("wait", wait);
  add("submit", submit);
  add("hasWork", has_work);
  add("oversleeps", oversleeps);
  add("signal", signal);
  add("freeBuffers", free_buffers);
  add("transitPort", transit_port);
  add("peerPort", peer_port);
  add("prepareConnect", prepare_connect);
  add("advance", advance);
  add("nextDue", next_due);
  add("listen", listen);
  add("closeListeners", close_listeners);
  add("knock", knock);
  add("connect", connect);
  add("connections", connections);
  add("openSockets", open_sockets);
  add("violation", violation);
  add("faults", faults);
  add("clientSend", client_send);
  add("clientRecv", client_recv);
  add("clientEnd", client_end);
  add("clientClose", client_close);
  add("clientReset", client_reset);
  add("takenFromServer", taken_from_server);
  return exports;
}

}  // namespace

}  // namespace binding

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) { return binding::init(env, exports); }

}  // namespace

NODE_API_MODULE(overlapped_sim, init)
