// What: reads the garbage collections that --trace-gc prints.
// Flow: the server's words, and where the measured part begins -> collections and bytes allocated.
// Thread: the benchmark's own process.

// "[pid:isolate]  1234 ms: Scavenge 4.0 (5.2) -> 3.0 (5.2) MB, …"; MB are 2^20 bytes.
const COLLECTION =
  /^\[\d+:([^\]]+)\]\s+\d+ ms: (Scavenge|Mark-Compact)\D*([\d.]+) \([\d.]+\) -> ([\d.]+) /gm
const MB = 2 ** 20

/**
 * What was collected after the first `begin` characters: { scavenges, others, bytes }. Bytes are what
 * the heap of each thread has grown by from the end of one collection to the beginning of the next;
 * what was allocated after the last one is not seen.
 */
export function collectionsAfter(words, begin) {
  const found = { scavenges: 0, others: 0, bytes: 0 }
  const heapAfter = new Map() // By isolate: MB that the collection before has left.
  for (const { index, 1: isolate, 2: kind, 3: before, 4: after } of words.matchAll(COLLECTION)) {
    const left = heapAfter.get(isolate)
    heapAfter.set(isolate, Number(after))
    if (index < begin) continue
    if (kind === 'Scavenge') found.scavenges++
    else found.others++
    // A thread that has not been collected before began with a heap that nobody knows.
    if (left !== undefined) found.bytes += (Number(before) - left) * MB
  }
  return found
}
