// What: the load client: drives a length-prefixed server and verifies every byte it sends back.
// Flow: options -> one of seven modes -> one line of JSON on stdout; exit code 3 on any fault.
// Thread: main; all but idle and ping start client threads of their own.
#define _GNU_SOURCE
#include "load_client.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/resource.h>

#include "../limit/world_state.h"
#include "message.h"

// Descriptors beside the connections: rings, epolls, /proc files, standard streams.
#define SPARE_DESCRIPTORS 64
#define THREADS_MAX 64
#define SOURCES_MAX 250
#define INTERVAL_MS_MAX 10000

struct options options = {
    .mode = "echo",
    .host = "127.0.0.1",
    .connections = 64,
    .depth = 1,
    .size = 64,
    .threads = 1,
    .sources = 50,
    .seconds = 2,
    .warmup = 0.5,
    .hold = 1,
    .foreign = 100,
    .states = 1,
    .spread_ms = 40,
    .interval_ms = 20,
};

uint8_t message_pattern[PATTERN_STARTS + PAYLOAD_BYTES_MAX];

static const char usage_text[] =
    "usage: load_client --mode MODE --port PORT [options]\n"
    "  --host ADDRESS     127.0.0.1  the server, an IPv4 address\n"
    "  --pid PID                     the server's process: sample its CPU time and memory\n"
    "  --conns N          64         connections (connect: how many at a time)\n"
    "  --depth N          1          messages in flight per connection (fanout: in all;\n"
    "                                world: messages of each connection and tick)\n"
    "  --size BYTES       64         payload, 12..65535\n"
    "  --secs S           2          measured seconds\n"
    "  --warmup S         0.5        seconds before, not measured\n"
    "  --hold S           1          idle: seconds the connections are held\n"
    "  --threads N        1          client threads (echo and connect only)\n"
    "  --rate N           0          echo: messages per second in all; 0: as fast as answers come\n"
    "  --foreign PERCENT  100        relay: messages to the other worker of two: 0, 50, 100\n"
    "  --states N         1          world: states of a tick\n"
    "  --spread MS        40         world: answers to a tick are spread over so long\n"
    "  --interval MS      20         ping: from one answer to the next message\n"
    "  --sources N        50         local addresses 127.0.1.1... the connections are spread over\n"
    "\n"
    "  echo     every connection sends and gets back; msgs = echoes\n"
    "  fanout   connection 0 sends, every connection gets it; msgs = deliveries;\n"
    "           latency: from the send until the last of them has verified it\n"
    "  relay    what a connection sends arrives at its partner; msgs = arrivals\n"
    "  connect  connect, one echo, reset, again; msgs = connections\n"
    "  idle     connect, one echo, stay; memory of the server per connection\n"
    "  world    every connection answers each tick; msgs = both ways;\n"
    "           latency: from one tick to the next\n"
    "  ping     one connection, a message now and then; msgs = answers\n"
    "\n"
    "One line of JSON on stdout. Exit code 0 good, 1 could not run, 2 usage, 3 server fault.\n";

static void fail_usage(const char *problem) {
  fprintf(stderr, "load_client: %s\n%s", problem, usage_text);
  exit(EXIT_USAGE);
}

static double number_in(const char *name, const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (*text && !*end && value >= least && value <= most) return value;
  char problem[160];
  snprintf(problem, sizeof problem, "--%s %s: must be a number from %g to %g", name, text, least,
           most);
  fail_usage(problem);
  return 0;
}

static void parse_options(int count, char **values) {
  static const struct option known[] = {
      {"mode", required_argument, NULL, 'm'},   {"host", required_argument, NULL, 'h'},
      {"port", required_argument, NULL, 'p'},   {"pid", required_argument, NULL, 'P'},
      {"conns", required_argument, NULL, 'c'},  {"depth", required_argument, NULL, 'd'},
      {"size", required_argument, NULL, 's'},   {"secs", required_argument, NULL, 't'},
      {"warmup", required_argument, NULL, 'w'}, {"hold", required_argument, NULL, 'H'},
      {"threads", required_argument, NULL, 'T'}, {"rate", required_argument, NULL, 'r'},
      {"sources", required_argument, NULL, 'S'}, {"foreign", required_argument, NULL, 'f'},
      {"states", required_argument, NULL, 'k'},  {"spread", required_argument, NULL, 'g'},
      {"interval", required_argument, NULL, 'i'},
      {NULL, 0, NULL, 0},
  };
  int found, index = 0;
  while ((found = getopt_long(count, values, "", known, &index)) != -1) {
    const char *name = known[index].name;
    switch (found) {
      case 'm': options.mode = optarg; break;
      case 'h': options.host = optarg; break;
      case 'p': options.port = (uint16_t)number_in(name, optarg, 1, 65535); break;
      case 'P': options.server_pid = (pid_t)number_in(name, optarg, 1, 1 << 22); break;
      case 'c': options.connections = (int)number_in(name, optarg, 1, 1 << 20); break;
      case 'd': options.depth = (int)number_in(name, optarg, 1, 1024); break;
      case 's':
        options.size = (uint32_t)number_in(name, optarg, PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX);
        break;
      case 't': options.seconds = number_in(name, optarg, 0.1, 600); break;
      case 'w': options.warmup = number_in(name, optarg, 0, 60); break;
      case 'H': options.hold = number_in(name, optarg, 0.1, 600); break;
      case 'T': options.threads = (int)number_in(name, optarg, 1, THREADS_MAX); break;
      case 'r': options.rate = number_in(name, optarg, 0, 1e9); break;
      case 'S': options.sources = (int)number_in(name, optarg, 1, SOURCES_MAX); break;
      case 'f': options.foreign = (int)number_in(name, optarg, 0, 100); break;
      case 'k': options.states = (int)number_in(name, optarg, 1, STATES_MAX); break;
      case 'g': options.spread_ms = (int)number_in(name, optarg, 1, SPREAD_MS_MAX); break;
      case 'i': options.interval_ms = (int)number_in(name, optarg, 0, INTERVAL_MS_MAX); break;
      default: fail_usage("unknown option");
    }
  }
  if (optind < count) fail_usage("unexpected argument");
  if (options.port == 0) fail_usage("--port is missing");
  if (options.rate > 0 && strcmp(options.mode, "echo") != 0) fail_usage("--rate is for echo only");
  if (options.foreign % 50 != 0) fail_usage("--foreign must be 0, 50 or 100");
  if (options.connections < options.threads) fail_usage("--conns is less than --threads");
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) fail_setup("getrlimit", strerror(errno));
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fail_setup("setrlimit", strerror(errno));
  if ((rlim_t)options.connections + SPARE_DESCRIPTORS > limit.rlim_max) {
    fail_setup("--conns", "more than the hard limit of open files allows (ulimit -Hn)");
  }
}

int main(int count, char **values) {
  static const struct {
    const char *name;
    uint64_t (*run)(void);
  } modes[] = {
      {"echo", run_echo},       {"fanout", run_fanout}, {"relay", run_relay},
      {"connect", run_connect}, {"idle", run_idle},     {"world", run_world},
      {"ping", run_ping},
  };

  parse_options(count, values);
  raise_descriptor_limit();
  prepare_messages();
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    if (strcmp(modes[i].name, options.mode) == 0) {
      return modes[i].run() == 0 ? EXIT_GOOD : EXIT_FAULT;
    }
  }
  fail_usage("--mode must be echo, fanout, relay, connect, idle, world or ping");
}
