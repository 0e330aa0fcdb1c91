// What: the cases of the table, as data: what the load client does and which figure counts.
// Flow: run.mjs walks them -> load client options -> one figure per run.
// Thread: the benchmark's own process.
//
// mode      of the server: 'echo', 'bcast', 'relay' or 'world'; only ours serves relay.
// threads   of the server: its workers.
// cores     that the server may use, as many as threads where not said; with 1 the server has a core to
//           itself and the client another, with more all share them.
// client    options of the load client, beside port, pid and times.
// figure    the field of the client's JSON that counts; unit and scale for the table.
// lower     true where a smaller figure is better.
// peers     the node:net styles that take part; 'message' only where it is not the same as 'chunk'.
// layouts   of our server that take part, by name.
// states    world: state messages of a tick.
// foreignPercent   relay: answers to sessions of the other worker; the server counts them.

const THROUGHPUT = {
  figure: 'msgs_per_cpu_s',
  unit: 'kmsg per CPU second',
  scale: 1 / 1000,
  lower: false,
  threads: 1,
  mode: 'echo',
  peers: ['node:net chunk'],
  layouts: ['worker'],
}

/** The threads that a message passes are compared where it costs least beside that. */
const ECHO_LAYOUTS = ['worker', 'update eager', 'send']

/** One worker; the threads of the other layouts may run beside it. */
function bothCoresCase(depth) {
  return {
    ...THROUGHPUT,
    name: `both_cores_64B_64c_d${depth}`,
    cores: 2,
    client: ['--mode', 'echo', '--size', 64, '--conns', 64, '--depth', depth],
    peers: [],
    layouts: ECHO_LAYOUTS,
  }
}

/** 1,000 clients send 10 messages in each tick, and are told the state in 1 or more. */
function worldCase(states, peers) {
  return {
    ...THROUGHPUT,
    name: `world_64B_1000c_10in_${states}out`,
    figure: 'cpu_us_per_msg',
    unit: 'µs of server CPU per message',
    scale: 1,
    lower: true,
    mode: 'world',
    states,
    client: [
      ...['--mode', 'world', '--size', 64, '--conns', 1000, '--depth', 10],
      ...['--states', states],
    ],
    peers,
    layouts: ['worker', 'update'],
  }
}

/** Two workers; what a connection sends arrives at its partner, which may be with the other worker. */
function relayCase(foreignPercent) {
  return {
    ...THROUGHPUT,
    name: `two_workers_answers_${foreignPercent}pct_foreign`,
    threads: 2,
    mode: 'relay',
    foreignPercent,
    client: [
      ...['--mode', 'relay', '--foreign', foreignPercent],
      ...['--size', 64, '--conns', 64, '--depth', 1],
    ],
    peers: [],
  }
}

export const cases = [
  {
    ...THROUGHPUT,
    name: 'echo_64B_64c_d1',
    client: ['--mode', 'echo', '--size', 64, '--conns', 64, '--depth', 1],
    layouts: ECHO_LAYOUTS,
  },
  {
    ...THROUGHPUT,
    name: 'echo_64B_1000c_d1',
    client: ['--mode', 'echo', '--size', 64, '--conns', 1000, '--depth', 1],
  },
  {
    ...THROUGHPUT,
    name: 'echo_64B_64c_d16',
    client: ['--mode', 'echo', '--size', 64, '--conns', 64, '--depth', 16],
    peers: ['node:net chunk', 'node:net message'],
    layouts: ECHO_LAYOUTS,
  },
  {
    ...THROUGHPUT,
    name: 'echo_4KiB_64c_d4',
    client: ['--mode', 'echo', '--size', 4096, '--conns', 64, '--depth', 4],
  },
  {
    ...THROUGHPUT,
    name: 'broadcast_64B_1000c_4out',
    unit: 'kdeliveries per CPU second',
    mode: 'bcast',
    client: ['--mode', 'fanout', '--size', 64, '--conns', 1000, '--depth', 4],
    peers: ['node:net chunk', 'node:net message'],
  },
  {
    ...THROUGHPUT,
    name: 'broadcast_64B_5000c_4out',
    unit: 'kdeliveries per CPU second',
    mode: 'bcast',
    client: ['--mode', 'fanout', '--size', 64, '--conns', 5000, '--depth', 4],
    peers: ['node:net chunk', 'node:net message'],
  },
  {
    ...THROUGHPUT,
    name: 'broadcast_64B_5000c_1out',
    figure: 'p50_us',
    unit: 'ms of wall time until the last of 5,000 has it',
    scale: 1 / 1000,
    lower: true,
    mode: 'bcast',
    client: ['--mode', 'fanout', '--size', 64, '--conns', 5000, '--depth', 1],
  },
  worldCase(1, ['node:net chunk']),
  worldCase(10, ['node:net chunk', 'node:net message']),
  {
    ...THROUGHPUT,
    name: 'accept_message_close',
    unit: 'kconnections per CPU second',
    client: ['--mode', 'connect', '--size', 64, '--conns', 64],
  },
  {
    ...THROUGHPUT,
    name: 'idle_memory_10000c',
    figure: 'rss_per_connection_bytes',
    unit: 'bytes of server memory per connection',
    scale: 1,
    lower: true,
    client: ['--mode', 'idle', '--size', 64, '--conns', 10_000],
  },
  {
    ...THROUGHPUT,
    name: 'two_workers_64B_64c_d1',
    threads: 2,
    client: ['--mode', 'echo', '--size', 64, '--conns', 64, '--depth', 1, '--threads', 2],
  },
  bothCoresCase(1),
  bothCoresCase(16),
  relayCase(0),
  relayCase(50),
  relayCase(100),
]
