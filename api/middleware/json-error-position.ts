const SPACE = /[ \t\n\r]*/y;
const TOKEN =
  /[{}[\],:]|"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

type Expected = 'value' | 'value or ]' | 'name' | 'name or }' | ':' | ', or end';

/** Index of the first character that JSON does not allow there; Node's own messages name it only sometimes. */
export function jsonErrorPosition(text: string): number {
  const open: string[] = [];
  let expected: Expected = 'value';
  let position = skip(text, 0);
  while (position < text.length) {
    const token = tokenAt(text, position);
    const next: Expected | null = token === null ? null : step(token, expected, open);
    if (token === null || next === null) return position;
    expected = next;
    position = skip(text, position + token.length);
  }
  return position;
}

function skip(text: string, from: number): number {
  SPACE.lastIndex = from;
  return from + (SPACE.exec(text)?.[0].length ?? 0);
}

function tokenAt(text: string, position: number): string | null {
  TOKEN.lastIndex = position;
  return TOKEN.exec(text)?.[0] ?? null;
}

/** What may come after this token, or `null` when the token itself may not stand here. `open` holds the open brackets. */
function step(token: string, expected: Expected, open: string[]): Expected | null {
  switch (expected) {
    case ':':
      return token === ':' ? 'value' : null;
    case ', or end':
      return afterValue(token, open);
    case 'name or }':
      if (token === '}') return close(open);
      return token.startsWith('"') ? ':' : null;
    case 'name':
      return token.startsWith('"') ? ':' : null;
    case 'value or ]':
      return token === ']' ? close(open) : value(token, open);
    case 'value':
      return value(token, open);
  }
}

function value(token: string, open: string[]): Expected | null {
  if (token === '{' || token === '[') {
    open.push(token);
    return token === '{' ? 'name or }' : 'value or ]';
  }
  return ['}', ']', ',', ':'].includes(token) ? null : ', or end';
}

function afterValue(token: string, open: string[]): Expected | null {
  const container = open.at(-1);
  if (container === undefined) return null;
  if (token === ',') return container === '{' ? 'name' : 'value';
  return token === (container === '{' ? '}' : ']') ? close(open) : null;
}

function close(open: string[]): Expected {
  open.pop();
  return ', or end';
}
