// What: how many seeds a campaign has.
// Flow: this -> campaign.test.ts, planted_bugs.test.ts.
// Thread: the test's.

/** Worlds of one campaign: 35 seconds of one core. */
export const SEEDS = 10_000
