import type { Adaptation, GraphParameters } from './adaptation.js';

/** Parts of a batch and tiles are how it is rendered; these are what the caller gets. */
const CHANGES_WHAT_WAS_ASKED = ['width', 'height', 'steps', 'model'];

/** What a recovery delivers otherwise than asked. */
export function changedParameters(adapted: {
  readonly adaptation: Adaptation;
  readonly before: GraphParameters;
  readonly after: GraphParameters;
}): GraphParameters {
  const byRules = (adapted.adaptation.adjusted ?? []).map(({ parameter }) => parameter);
  const asked = [...CHANGES_WHAT_WAS_ASKED, ...byRules];
  const changes = Object.entries(adapted.after).filter(
    ([name, value]) => asked.includes(name) && adapted.before[name] !== value,
  );
  return Object.fromEntries(changes);
}
