import tseslint from 'typescript-eslint';

const NO_PROSE = /^\s*(eslint|@ts-|prettier-|webpack|!|\/\s*<reference)/;
const NEW_ITEM = /^([-*+]|\d+\.)\s+/;

/** Blocks of prose of one file: `{ text, kind, first, last }`, with lines counted from 1. Other files have none. */
export function proseBlocksOf(path, text) {
  if (path.endsWith('.md')) return markdownBlocksOf(text);
  return /\.(ts|mjs|js)$/.test(path) ? commentBlocksOf(text) : [];
}

function commentBlocksOf(text) {
  const { comments } = tseslint.parser.parseForESLint(text, { comment: true, loc: true, range: true }).ast;
  const blocks = [];
  for (const { type, value, loc } of comments) {
    if (NO_PROSE.test(value)) continue;
    const lines = value.split('\n').map((line) => line.replace(/^\s*\*?\s?/, '').trim());
    const last = blocks.at(-1);
    const goesOn =
      type === 'Line' && last?.type === 'Line' && last.column === loc.start.column && last.last + 1 === loc.start.line;
    if (goesOn) {
      last.lines.push(...lines);
      last.last = loc.end.line;
    } else blocks.push({ type, lines, column: loc.start.column, first: loc.start.line, last: loc.end.line });
  }
  return blocks.flatMap(({ lines, first, last }) => paragraphsOf(lines).map((block) => ({ ...block, first, last })));
}

function markdownBlocksOf(text) {
  let isFenced = false;
  const lines = text.split('\n').map((line) => {
    const isFence = /^\s*(```|~~~)/.test(line);
    if (isFence) isFenced = !isFenced;
    return isFence || isFenced ? '' : line.replace(/^\s*>\s?/, '').trim();
  });
  return paragraphsOf(lines);
}

/** Paragraphs, list items, headings and table cells. */
function paragraphsOf(lines) {
  const blocks = [];
  let isOpen = false;
  lines.forEach((line, index) => {
    const at = { first: index + 1, last: index + 1 };
    const isTable = line.startsWith('|');
    const isHeading = /^#{1,6}\s/.test(line);
    if (isTable) {
      for (const cell of line.split(/(?<!\\)\|/))
        if (/\p{L}/u.test(cell)) blocks.push({ text: cell.trim(), kind: 'cell', ...at });
    } else if (isHeading) blocks.push({ text: line.replace(/^#+\s/, ''), kind: 'heading', ...at });
    else if (line !== '' && isOpen && !NEW_ITEM.test(line)) {
      const block = blocks.at(-1);
      block.text += ` ${line}`;
      block.last = at.last;
    } else if (line !== '') blocks.push({ text: line.replace(NEW_ITEM, ''), kind: 'text', ...at });
    isOpen = line !== '' && !isTable && !isHeading;
  });
  return blocks;
}
