/** What `npm start` says to the person in front of it. */
export interface Reporter {
  readonly say: (line: string) => void;
  /**
   * Reports how far a long wait is. On a terminal each topic has one line that is rewritten in place. Elsewhere it gets a new
   * line every ten seconds.
   */
  readonly progress: (topic: string, line: string) => void;
}

const PROGRESS_EVERY_MS = 10_000;
const REDRAW_EVERY_MS = 100;
/** For a terminal without a known width. */
const USUAL_COLUMNS = 80;
const ERASE_BELOW = '\r\u001b[J';
const UP = '\u001b[1A';

/** Writes to a terminal or to a file, whichever standard output is. */
export function createReporter(out: NodeJS.WriteStream): Reporter {
  const reportedAt = new Map<string, number>();
  const openLines = new Map<string, string>();
  out.on('error', () => undefined); // a closed pipe (`npm start | head`) must not take the servers down
  const erase = () => {
    if (openLines.size > 0) out.write(UP.repeat(openLines.size - 1) + ERASE_BELOW);
  };
  return {
    say(line) {
      erase();
      openLines.clear(); // a wait that goes on reports again within a second
      out.write(`${line}\n`);
    },
    progress(topic, line) {
      const sinceMs = Date.now() - (reportedAt.get(topic) ?? 0);
      if (sinceMs < (out.isTTY ? REDRAW_EVERY_MS : PROGRESS_EVERY_MS)) return;
      reportedAt.set(topic, Date.now());
      const text = `${topic}: ${line}`;
      if (!out.isTTY) {
        out.write(`${text}\n`);
        return;
      }
      erase();
      openLines.set(topic, text.slice(0, (out.columns > 0 ? out.columns : USUAL_COLUMNS) - 1));
      out.write([...openLines.values()].join('\n'));
    },
  };
}
