/** Longest sentence that is understood on first reading. */
const MAX_WORDS = 25;

/** Openings with a clause in place of a noun. "That server" and "Of course" are fine. */
const OPENINGS = [
  /^(what|who|whoever|whom|whose|which|of(?! course\b))\s/i,
  /^that\s+(a|an|the|it|its|they|we|you|our|no|nothing|there|every|each)\s/i,
  /^(at|by|for|from|in|of|on|to|with)\s+(what|which|whom)\s/i,
];

/** Words for people, which components are not, and words that are not everyday words: [word, advice]. */
const WORDS = [
  [/\b(some|no)body\b/i, 'name the component or the person'],
  [/\bwho(m|mso|so)?ever\b/i, 'name the component or the person'],
  [/\bwhom\b/i, 'name the component or the person'],
  [/\banother one\b/i, 'repeat the noun'],
  [/\banew\b/i, 'write "again"'],
  [/\bfor ever\b/i, 'write "forever"'],
  [/\bmeanwhile\b/i, 'write "while"'],
  [/\bbeside\b/i, 'write "next to" or "with"'],
];
/** "Who" may follow people only. */
const WHO =
  /(?<!\b(?:person|people|user|users|caller|callers|operator|operators|engineer|engineers|reader|readers|author|authors|those|anyone|everyone)\s)\bwho\b/i;
const ABBREVIATIONS = /\b(e\.g|i\.e|etc|vs|cf|approx|no)\.$/i;

/** The rules of STYLE.md, "Language", that a block of prose breaks. `kind` is `text`, `heading` or `cell`. */
export function problemsOf(block, kind = 'text') {
  const text = plain(block);
  if (/\bprose-ok\b/.test(text)) {
    return /\bprose-ok:\s*\S+\s+\S+/.test(text)
      ? []
      : [{ rule: 'prose-ok', said: text, advice: 'give a reason: "prose-ok: <reason>"' }];
  }
  return sentencesOf(text).flatMap((sentence) => problemsOfSentence(sentence, kind));
}

function problemsOfSentence(sentence, kind) {
  const isQuestion = /\?["')\]]*$/.test(sentence);
  const words = sentence.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
  const found = [];
  const add = (rule, advice) => found.push({ rule, said: sentence, advice });
  const isNominal = OPENINGS.some((pattern) => pattern.test(sentence));
  if (isNominal && !isQuestion && kind !== 'heading')
    add('opening', 'name the component that acts: subject, verb, object');
  for (const [pattern, advice] of WORDS) {
    const word = pattern.exec(sentence)?.[0];
    if (word !== undefined) add(`"${word}"`, advice);
  }
  if (!isNominal && !isQuestion && WHO.test(sentence))
    add('"who"', 'a component is no person: write "that" or name it');
  if (words > MAX_WORDS && kind === 'text') add(`${words} words`, `write sentences of at most ${MAX_WORDS} words`);
  return found;
}

/** Each piece of code and each quotation becomes one word, and a link becomes its text. */
function plain(block) {
  return block
    .replace(/<!--|-->/g, ' ')
    .replace(/`[^`]*`/g, 'CODE')
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/https?:\/\/\S+/g, 'LINK')
    .replace(/"[^"]*\?"|"[^"]*"/g, 'QUOTED')
    .replace(/[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}

function sentencesOf(text) {
  const sentences = [];
  let start = 0;
  for (const { index } of text.matchAll(/(?<=[.!?][)\]]?)\s+(?=[\p{Lu}\p{N}([])/gu)) {
    if (ABBREVIATIONS.test(text.slice(start, index))) continue;
    sentences.push(text.slice(start, index));
    start = index + 1;
  }
  return [...sentences, text.slice(start)].filter((sentence) => sentence !== '');
}
