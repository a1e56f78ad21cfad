import { testRandomKills } from '../support/random-kills.js';

// Three minutes alone. A busy machine takes several times as long.
testRandomKills({ generations: Number(process.env['CHAOS_GENERATIONS'] ?? 500), withinMs: 35 * 60_000 });
