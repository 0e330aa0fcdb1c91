// What: the one place that asks for which system this is built: sockets, clocks, alarms and gates of that system.
// Flow: base/linux or base/windows -> this -> everything in native/ that names a type of the system.
// Thread: any.
#pragma once

#ifdef _WIN32
#include "base/windows/alarm.h"
#include "base/windows/clock.h"
#include "base/windows/gate.h"
#include "base/windows/sockets.h"
#else
#include "base/linux/alarm.h"
#include "base/linux/clock.h"
#include "base/linux/gate.h"
#include "base/linux/sockets.h"
#endif
