// What: a default export that defineHandler did not make.
// Flow: stop.test.ts -> this.
// Thread: a worker, which refuses it.

export default { onRecv() {} }
