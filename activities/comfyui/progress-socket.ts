import type { RawData } from 'ws';
import type { ComfyUIAddress } from './comfyui-address.js';
import { openEventSocket } from './event-socket.js';
import { parseJson } from './parse-json.js';
import { applyEvent, initialProgress, progressEventSchema } from './rendering-progress.js';
import type { ProgressEvent, RenderingProgress } from './rendering-progress.js';

/** Events of one prompt, for speed only: polling is the truth. Old events may come in a burst after the end. */
export interface ProgressSocket {
  progress(): RenderingProgress;
  /** Frames since the last connect that came through ComfyUI's publish loop: the greeting does not. */
  framesSinceConnect(): number;
  /** Drops the connection and opens a fresh one. */
  reconnect(): void;
  close(): void;
}

export function openProgressSocket(options: {
  readonly address: ComfyUIAddress;
  readonly promptId: string;
  readonly nodeCount: number;
  /** Called when a connection is in use: from here on events arrive. */
  readonly onConnect: () => void;
  /** Called after every event of this prompt. */
  readonly onEvent: () => void;
  /** Called when an open connection ends that was not closed here. */
  readonly onDisconnect: () => void;
}): ProgressSocket {
  const { address, promptId } = options;
  let progress = initialProgress(options.nodeCount);
  let frames = 0;
  let isGreeted = false;

  const socket = openEventSocket({
    address,
    clientId: promptId,
    onConnecting() {
      frames = 0;
      isGreeted = false;
    },
    onFrame(data, isBinary) {
      const event = isBinary ? undefined : progressEventSchema.safeParse(jsonOrNull(data)).data;
      if (event === undefined || !isGreeting(event)) frames += 1;
      if (event === undefined) return; // a preview, or not ComfyUI's
      if (!isGreeted) options.onConnect();
      isGreeted = true;
      if (event.data.prompt_id !== promptId) return;
      progress = applyEvent(progress, event);
      options.onEvent();
    },
    onLost() {
      if (isGreeted) options.onDisconnect();
    },
  });

  return {
    progress: () => progress,
    framesSinceConnect: () => frames,
    reconnect: () => {
      socket.reconnect();
    },
    close: () => {
      socket.close();
    },
  };
}

/**
 * What ComfyUI sends straight to a new connection: the status with its session id and, to the owner of the running
 * prompt, one `executing` without a prompt id (0.8.0, server.py). It proves nothing about events that come later.
 */
function isGreeting({ type, data }: ProgressEvent): boolean {
  return (type === 'status' && 'sid' in data) || (type === 'executing' && data.prompt_id === undefined);
}

function jsonOrNull(data: RawData): unknown {
  try {
    return parseJson(Buffer.isBuffer(data) ? data.toString('utf8') : '');
  } catch {
    return null; // not ComfyUI's; the poll is the truth
  }
}
