import WebSocket from 'ws';
import type { RawData } from 'ws';
import type { ComfyUIAddress } from './comfyui-address.js';
import { urlOf } from './comfyui-address.js';

const HANDSHAKE_MS = 5_000;
/** ComfyUI sends no pings of its own: only our ping tells a half-open connection from a quiet one. */
const PING_MS = 10_000;
/** Long enough for the server to clean up the old socket first; the other way round it removes the new one. */
const RECONNECT_MS = 1_000;
/** `SaveImageWebsocket` sends whole results as frames. */
const MAX_FRAME_BYTES = 128 * 1024 * 1024;

/** A websocket to ComfyUI that connects again whenever it breaks, until it is closed. */
export interface EventSocket {
  /** Drops the connection and opens a fresh one. */
  reconnect(): void;
  close(): void;
}

export function openEventSocket(options: {
  readonly address: ComfyUIAddress;
  /** ComfyUI sends the events of a prompt to the socket with the id that it was submitted with, and nowhere else. */
  readonly clientId: string;
  /** Called before each try to connect. */
  readonly onConnecting: () => void;
  readonly onFrame: (data: RawData, isBinary: boolean) => void;
  /** Called when a connection ends, or could not be opened, that was not closed here. */
  readonly onLost: () => void;
}): EventSocket {
  const { address } = options;
  const url = urlOf(address, '/ws', { clientId: options.clientId });
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  let socket: WebSocket | null = null;
  let timer: NodeJS.Timeout | null = null;
  let isClosed = false;

  const connect = (): void => {
    options.onConnecting();
    const opened = new WebSocket(url, {
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MAX_FRAME_BYTES,
      // ComfyUI's server (aiohttp) would deflate each event for whoever offers it, previews that are JPEG as well.
      perMessageDeflate: false,
      headers: address.headers,
    });
    socket = opened;
    const stopPinging = pingUntilSilent(opened);
    opened.on('message', options.onFrame);
    opened.on('error', () => undefined); // `close` follows; polling finds out what it means
    opened.on('close', () => {
      stopPinging();
      if (isClosed || socket !== opened) return;
      options.onLost();
      timer = setTimeout(connect, RECONNECT_MS);
    });
  };
  connect();

  return {
    reconnect: () => socket?.terminate(),
    close() {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      socket?.terminate();
    },
  };
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
