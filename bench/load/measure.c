// What: sampling of the server process tree through /proc and CPU clocks, and the JSON report.
// Flow: /proc, clocks -> struct sample -> stdout.
// Thread: main.
#define _GNU_SOURCE
#include "measure.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "load_client.h"

// Processes of one server: a primary and a worker per core.
#define SERVER_PROCESSES_MAX 256
// "Quiet" is less than this much CPU in that much time, and we wait so long for it at most.
#define QUIET_CPU_NS (2 * NS_PER_MS)
#define QUIET_WINDOW_NS (100 * NS_PER_MS)
#define QUIET_WAIT_NS (3 * NS_PER_SECOND)

// ---- The server's processes ----

static bool read_text(const char *path, char *text, size_t capacity) {
  FILE *file = fopen(path, "r");
  if (!file) return false;
  size_t length = fread(text, 1, capacity - 1, file);
  text[length] = 0;
  fclose(file);
  return length > 0;
}

static pid_t parent_of(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  if (!read_text(path, text, sizeof text)) return 0;
  const char *name_end = strrchr(text, ')');  // The name itself may hold spaces and brackets.
  int parent = 0;
  if (!name_end || sscanf(name_end + 1, " %*c %d", &parent) != 1) return 0;
  return parent;
}

struct process_list {
  pid_t pids[SERVER_PROCESSES_MAX];
  int count;
};

static bool contains(const struct process_list *list, pid_t pid) {
  for (int i = 0; i < list->count; i++) {
    if (list->pids[i] == pid) return true;
  }
  return false;
}

// The server and its descendants. Passes over /proc until a pass finds no further one: a child's
// number may be smaller than its parent's.
static struct process_list server_processes(void) {
  struct process_list list = {.count = 0};
  if (options.server_pid == 0) return list;
  list.pids[list.count++] = options.server_pid;
  int before;
  do {
    before = list.count;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc)) && list.count < SERVER_PROCESSES_MAX) {
      pid_t pid = (pid_t)atoi(entry->d_name);
      if (pid > 0 && !contains(&list, pid) && contains(&list, parent_of(pid))) {
        list.pids[list.count++] = pid;
      }
    }
    if (proc) closedir(proc);
  } while (list.count > before);
  return list;
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time) < 0) return 0;
  return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t server_cpu_ns(const struct process_list *processes) {
  uint64_t total = 0;
  for (int i = 0; i < processes->count; i++) {
    clockid_t clock;
    if (clock_getcpuclockid(processes->pids[i], &clock) == 0) total += clock_ns(clock);
  }
  return total;
}

uint64_t server_resident_bytes(void) {
  struct process_list processes = server_processes();
  uint64_t pages = 0;
  for (int i = 0; i < processes.count; i++) {
    char path[64], text[256];
    unsigned long long resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)processes.pids[i]);
    if (read_text(path, text, sizeof text) && sscanf(text, "%*u %llu", &resident) == 1) {
      pages += resident;
    }
  }
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// ---- Samples ----

static uint64_t machine_busy_ns(void) {
  char text[512];
  unsigned long long user, nice, system, idle, wait, irq, soft_irq;
  if (!read_text("/proc/stat", text, sizeof text)) return 0;
  if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait,
             &irq, &soft_irq) != 7) {
    return 0;
  }
  uint64_t tick_ns = NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);
  return (user + nice + system + irq + soft_irq) * tick_ns;
}

struct sample take_sample(void) {
  struct process_list processes = server_processes();
  return (struct sample){
      .at_ns = now_ns(),
      .server_cpu_ns = server_cpu_ns(&processes),
      .client_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
      .machine_busy_ns = machine_busy_ns(),
  };
}

void wait_until_server_is_quiet(void) {
  uint64_t deadline = now_ns() + QUIET_WAIT_NS;
  struct process_list processes = server_processes();
  uint64_t used = QUIET_CPU_NS;
  while (used >= QUIET_CPU_NS && now_ns() < deadline) {
    uint64_t before = server_cpu_ns(&processes);
    sleep_ns(QUIET_WINDOW_NS);
    used = server_cpu_ns(&processes) - before;
  }
  if (processes.count == 0) sleep_ns(QUIET_WINDOW_NS);
}

// ---- The report ----

void report_begin(void) {
  printf("{\"mode\":\"%s\"", options.mode);
  report_number("connections", options.connections);
  report_number("depth", options.depth);
  report_number("size", options.size);
  report_number("threads", options.threads);
}

void report_number(const char *name, double value) { printf(",\"%s\":%.6g", name, value); }

void report_window(const struct sample *begin, const struct sample *end, uint64_t messages) {
  double seconds = (double)(end->at_ns - begin->at_ns) / 1e9;
  double server = (double)(end->server_cpu_ns - begin->server_cpu_ns) / 1e9;
  double client = (double)(end->client_cpu_ns - begin->client_cpu_ns) / 1e9;
  double machine = (double)(end->machine_busy_ns - begin->machine_busy_ns) / 1e9;
  report_number("seconds", seconds);
  report_number("messages", (double)messages);
  report_number("msgs_s", (double)messages / seconds);
  if (options.server_pid != 0) {
    report_number("msgs_per_cpu_s", server > 0 ? (double)messages / server : 0);
    report_number("cpu_us_per_msg", messages > 0 ? server * 1e6 / (double)messages : 0);
    report_number("server_cpu_s", server);
    report_number("server_utilization", server / seconds);
    report_number("other_cpus", (machine - server - client) / seconds);
  }
  report_number("client_utilization", client / seconds);
}

void report_latency(const char *prefix, const struct histogram *histogram) {
  static const struct {
    const char *name;
    double percent;
  } percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p999", 99.9}, {"max", 100}};
  for (size_t i = 0; i < sizeof percentiles / sizeof percentiles[0]; i++) {
    char name[32];
    snprintf(name, sizeof name, "%s%s_us", prefix, percentiles[i].name);
    report_number(name, (double)histogram_percentile(histogram, percentiles[i].percent) / 1e3);
  }
}

void report_end(uint64_t faults) {
  report_number("errors", (double)faults);
  printf("}\n");
  fflush(stdout);
}
