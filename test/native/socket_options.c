// What: prints the options of another process's TCP socket that is connected to a given peer port.
// Flow: test/e2e/socket_options.test.ts -> this -> pidfd_getfd(2) -> getsockopt(2).
// Thread: its own process.
#define _GNU_SOURCE
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  getsockopt(fd, level, name, &value, &length);
  return value;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: socket_options PID PEER_PORT\n");
    return 2;
  }
  int process = (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/fd", argv[1]);
  DIR *folder = opendir(path);
  if (process < 0 || folder == NULL) {
    perror("socket_options");
    return 2;
  }
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    int fd = (int)syscall(SYS_pidfd_getfd, process, atoi(entry->d_name), 0);
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (fd >= 0 && entry->d_name[0] != '.' && getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
        ntohs(peer.sin_port) == atoi(argv[2])) {
      printf("{\"noDelay\":%d,\"sendBufferBytes\":%d,\"receiveBufferBytes\":%d}\n",
             option(fd, IPPROTO_TCP, TCP_NODELAY), option(fd, SOL_SOCKET, SO_SNDBUF),
             option(fd, SOL_SOCKET, SO_RCVBUF));
      return 0;
    }
    if (fd >= 0) close(fd);
  }
  fprintf(stderr, "socket_options: no socket has peer port %s\n", argv[2]);
  return 1;
}
