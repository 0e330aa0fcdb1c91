// What: what an io_uring of this kernel can do, found out by doing it.
// Flow: uring_probe.cc -> this -> uring_send.
// Thread: any.
#pragma once

namespace driver::uring {

/** Whether sends may go without a completion entry when they are taken whole; tried once per process. */
bool skip_success_works();
bool zero_copy_works();

}  // namespace driver::uring
