import WebSocket from 'ws';
import type { RawData } from 'ws';
import type { ComfyUIAddress } from './comfyui-address.js';
import { urlOf } from './comfyui-address.js';
import { parseJson } from './parse-json.js';
import { applyEvent, initialProgress, progressEventSchema } from './rendering-progress.js';
import type { ProgressEvent, RenderingProgress } from './rendering-progress.js';

const HANDSHAKE_MS = 5_000;
/** ComfyUI sends no pings of its own: only our ping tells a half-open connection from a quiet one. */
const PING_MS = 10_000;
/** Long enough for the server to clean up the old socket first; the other way round it removes the new one. */
const RECONNECT_MS = 1_000;
/** `SaveImageWebsocket` sends whole results as frames. */
const MAX_FRAME_BYTES = 128 * 1024 * 1024;

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
  /** Called after every event of this prompt. */
  readonly onEvent: () => void;
  /** Called when an open connection ends that was not closed here. */
  readonly onDisconnect: () => void;
}): ProgressSocket {
  const { address, promptId } = options;
  // The id that the prompt was submitted with: its events go nowhere else.
  const url = urlOf(address, '/ws', { clientId: promptId });
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  let progress = initialProgress(options.nodeCount);
  let frames = 0;
  let isGreeted = false;
  let socket: WebSocket | null = null;
  let timer: NodeJS.Timeout | null = null;
  let isClosed = false;

  const onMessage = (data: RawData, isBinary: boolean): void => {
    const event = isBinary ? undefined : progressEventSchema.safeParse(jsonOrNull(data)).data;
    if (event === undefined || !isGreeting(event)) frames += 1;
    if (event === undefined) return; // a preview, or not ComfyUI's
    isGreeted = true;
    if (event.data.prompt_id !== promptId) return;
    progress = applyEvent(progress, event);
    options.onEvent();
  };
  const connect = (): void => {
    frames = 0;
    isGreeted = false;
    const opened = new WebSocket(url, {
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MAX_FRAME_BYTES,
      headers: address.headers,
    });
    socket = opened;
    const stopPinging = pingUntilSilent(opened);
    opened.on('message', onMessage);
    opened.on('error', () => undefined); // `close` follows; polling finds out what it means
    opened.on('close', () => {
      stopPinging();
      if (isClosed || socket !== opened) return;
      if (isGreeted) options.onDisconnect();
      timer = setTimeout(connect, RECONNECT_MS);
    });
  };
  connect();

  return {
    progress: () => progress,
    framesSinceConnect: () => frames,
    reconnect: () => socket?.terminate(),
    close() {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      socket?.terminate();
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

/** Terminates a connection that answers no ping for two intervals. */
function pingUntilSilent(socket: WebSocket): () => void {
  let unanswered = 0;
  socket.on('pong', () => {
    unanswered = 0;
  });
  const timer = setInterval(() => {
    if (unanswered >= 2) {
      socket.terminate();
      return;
    }
    if (socket.readyState !== WebSocket.OPEN) return;
    unanswered += 1;
    socket.ping();
  }, PING_MS);
  return () => {
    clearInterval(timer);
  };
}

function jsonOrNull(data: RawData): unknown {
  try {
    return parseJson(Buffer.isBuffer(data) ? data.toString('utf8') : '');
  } catch {
    return null; // not ComfyUI's; the poll is the truth
  }
}
