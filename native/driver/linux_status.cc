// What: errno -> IoStatus, once.
// Flow: uring, epoll, socket -> this -> completions.
// Thread: any.
#include "driver/linux_status.h"

#include <cerrno>

namespace driver {

layout::IoStatus status_of(int error) {
  using layout::IoStatus;
  switch (error) {
    case 0:
      return IoStatus::kOk;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:      // the peer is gone and we went on sending
    case ENOTCONN:   // reset before it was attached
    case ESHUTDOWN:
      return IoStatus::kReset;
    case ECANCELED:
      return IoStatus::kCancelled;
    case ECONNREFUSED:
      return IoStatus::kRefused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
      return IoStatus::kUnreachable;
    case ETIMEDOUT:
      return IoStatus::kTimedOut;
    case EADDRINUSE:
      return IoStatus::kAddressInUse;
    case EADDRNOTAVAIL:
      return IoStatus::kAddressUnavailable;
    case EACCES:
    case EPERM:
      return IoStatus::kNoPermission;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
      return IoStatus::kNoResources;
    default:
      return IoStatus::kUnknown;
  }
}

}  // namespace driver
