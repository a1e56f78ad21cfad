/**
 * JSON as Python writes it: `json.dumps` leaves bare `NaN` and `Infinity`, which no JSON parser accepts (seen in
 * `current_inputs`, in outputs and in `/object_info`). They become `null`, inside strings they stay.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(text.replace(STRING_OR_BARE_NUMBER, keepStrings)) as unknown;
  }
}

/** Strings first, so that a bare word inside one is never touched. */
const STRING_OR_BARE_NUMBER = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g;

function keepStrings(match: string): string {
  return match.startsWith('"') ? match : 'null';
}
