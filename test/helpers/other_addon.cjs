// What: has every thread and child process of a test run load the addon that TESTS_ADDON names, whatever asks for it.
// Flow: scripts/sanitizers.mjs (NODE_OPTIONS=--require) -> this -> process.dlopen.
// Thread: each that Node starts, before its own code.

const { existsSync } = require('node:fs')

const addon = process.env.TESTS_ADDON
if (addon === undefined || !existsSync(addon)) throw new Error(`TESTS_ADDON is ${addon}`)

const { dlopen } = process
process.dlopen = function open(module, path, ...flags) {
  return dlopen.call(this, module, path.endsWith('/overlapped.node') ? addon : path, ...flags)
}
