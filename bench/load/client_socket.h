// What: client sockets: source address, no delay, reset on close.
// Flow: open_socket -> connected (or connecting) descriptor.
// Thread: any.
#ifndef BENCH_CLIENT_SOCKET_H
#define BENCH_CLIENT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

// Opens a connection to the server. Non-blocking: it may still be connecting on return. Returns the
// descriptor, or -1 with errno.
int open_socket(bool non_blocking);

// Opens a blocking connection; ends the program where the server does not take it.
int open_socket_or_fail(void);

// Sends bytes on a blocking connection and puts as many that come back in their place. False when
// they do not come.
bool exchange_bytes(int fd, uint8_t *bytes, uint32_t length);

// After connecting number `index`, now and then waits a little, so that a server with a short
// backlog keeps up with a client that does nothing but connect.
void pace_connecting(int index);

#endif
