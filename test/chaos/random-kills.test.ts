import { testRandomKills } from '../support/random-kills.js';

// 40 s alone. A busy machine takes several times as long.
testRandomKills({ generations: 100, withinMs: 10 * 60_000 });
