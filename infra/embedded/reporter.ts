/** What `npm start` says to the person in front of it. */
export interface Reporter {
  readonly say: (line: string) => void;
  /** How far a long wait is: rewritten in place on a terminal, one line every ten seconds elsewhere. */
  readonly progress: (line: string) => void;
}

const PROGRESS_EVERY_MS = 10_000;
const ERASE_LINE = '\r\u001b[2K';

/** Writes to a terminal or to a file, whichever standard output is. */
export function createReporter(out: NodeJS.WriteStream): Reporter {
  let lastProgressAt = 0;
  let isLineOpen = false;
  out.on('error', () => undefined); // a closed pipe (`npm start | head`) must not take the servers down
  const closeLine = () => {
    if (isLineOpen) out.write(ERASE_LINE);
    isLineOpen = false;
  };
  return {
    say(line) {
      closeLine();
      out.write(`${line}\n`);
    },
    progress(line) {
      if (out.isTTY) {
        out.write(`${ERASE_LINE}${line.slice(0, Math.max(20, out.columns - 1))}`);
        isLineOpen = true;
      } else if (Date.now() - lastProgressAt >= PROGRESS_EVERY_MS) {
        lastProgressAt = Date.now();
        out.write(`${line}\n`);
      }
    },
  };
}
