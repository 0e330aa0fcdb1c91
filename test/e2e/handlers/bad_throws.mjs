// What: a module that fails while it is loaded.
// Flow: stop.test.ts -> this.
// Thread: a worker, which refuses it.

throw new Error('no configuration')
