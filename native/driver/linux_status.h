// What: errno -> IoStatus, once.
// Flow: uring, epoll, socket -> this -> completions.
// Thread: any.
#pragma once

#include "layout/layout.h"

namespace driver {

/** `error` is a positive errno. */
layout::IoStatus status_of(int error);

}  // namespace driver
