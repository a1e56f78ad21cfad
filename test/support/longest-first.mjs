import Sequencer from '@jest/test-sequencer';

/** Files that wait for timeouts of real servers, minutes each: begun last, they would run alone at the end. */
const LONG = ['/test/chaos/', '/test/integration/'];

/** Jest knows durations only from a run before, which a clean clone has not had. */
export default class LongestFirst extends Sequencer {
  sort(tests) {
    return [...tests].sort((one, other) => rankOf(one) - rankOf(other) || one.path.localeCompare(other.path));
  }
}

function rankOf({ path }) {
  const rank = LONG.findIndex((folder) => path.includes(folder));
  return rank === -1 ? LONG.length : rank;
}
