// What: the few functions of libuv that the nested loop calls, declared here: the Node-API headers do not have them.
// Flow: libuv, inside the node binary -> this -> loop.
// Thread: the loop's own.
#pragma once

#include <cstddef>
#include <cstdint>

// libuv 1 keeps this ABI; handles are opaque and allocated with uv_handle_size (docs.libuv.org/en/v1.x/handle.html).
extern "C" {
struct uv_loop_s;
struct uv_handle_s;
using uv_loop_t = uv_loop_s;
using uv_handle_t = uv_handle_s;
using uv_handle_cb = void (*)(uv_handle_t*);

size_t uv_handle_size(int type);
const char* uv_handle_type_name(int type);
void uv_handle_set_data(uv_handle_t* handle, void* data);
void* uv_handle_get_data(const uv_handle_t* handle);
void uv_close(uv_handle_t* handle, uv_handle_cb on_close);
int uv_is_closing(const uv_handle_t* handle);

int uv_prepare_init(uv_loop_t* loop, uv_handle_t* prepare);
int uv_prepare_start(uv_handle_t* prepare, uv_handle_cb callback);
int uv_prepare_stop(uv_handle_t* prepare);
int uv_idle_init(uv_loop_t* loop, uv_handle_t* idle);
int uv_idle_start(uv_handle_t* idle, uv_handle_cb callback);
int uv_idle_stop(uv_handle_t* idle);
int uv_check_init(uv_loop_t* loop, uv_handle_t* check);
int uv_check_start(uv_handle_t* check, uv_handle_cb callback);
int uv_check_stop(uv_handle_t* check);
int uv_async_init(uv_loop_t* loop, uv_handle_t* async, uv_handle_cb callback);
int uv_async_send(uv_handle_t* async);
int uv_timer_init(uv_loop_t* loop, uv_handle_t* timer);
int uv_timer_start(uv_handle_t* timer, uv_handle_cb callback, uint64_t timeout_ms, uint64_t repeat_ms);
int uv_timer_stop(uv_handle_t* timer);

void uv_update_time(uv_loop_t* loop);
int uv_backend_timeout(const uv_loop_t* loop);
int uv_backend_fd(const uv_loop_t* loop);
}

namespace loop {

// uv_handle_type values of libuv 1; checked by name when the loop opens.
inline constexpr int kUvAsync = 1;
inline constexpr int kUvCheck = 2;
inline constexpr int kUvIdle = 6;
inline constexpr int kUvPrepare = 9;
inline constexpr int kUvTimer = 13;

struct UvType {
  int number;
  const char* name;
};
inline constexpr UvType kUvTypes[] = {
    {kUvAsync, "async"}, {kUvCheck, "check"}, {kUvIdle, "idle"}, {kUvPrepare, "prepare"}, {kUvTimer, "timer"}};

}  // namespace loop
