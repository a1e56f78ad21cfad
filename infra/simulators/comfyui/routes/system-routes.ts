import { freemem, totalmem } from 'node:os';
import { answers } from '../answers.js';
import type { SimulatorOptions } from '../options.js';
import type { Route } from '../route.js';
import { serverFeatures } from '../server-features.js';
import type { ServerParts } from '../server-parts.js';
import type { CacheKind } from '../server-versions.js';
import { USUAL_VRAM_GIB } from '../vram.js';
import type { Vram } from '../vram.js';

const BYTES_PER_GB = 1024 ** 3;

const CACHE_FLAGS: Readonly<Record<CacheKind, readonly string[]>> = {
  classic: ['--cache-classic'],
  lru: ['--cache-lru', '100'],
  ram: ['--cache-ram'],
  none: ['--cache-none'],
};

const HOME_PAGE =
  '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ComfyUI simulator</title></head><body>' +
  '<h1>ComfyUI simulator</h1><p>This is not ComfyUI: it speaks its protocol and draws placeholder pictures, without a GPU.</p>' +
  '<p><a href="/queue">queue</a> · <a href="/history">history</a> · <a href="/simulator/journal">journal</a></p></body></html>';

/** /system_stats, /features and the page that says what this is. */
export function systemRoutes({ options, vram }: ServerParts): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/system_stats',
      handle: (_request, response) => {
        answers.json(response, 200, { system: systemOf(options), devices: [deviceOf(options, vram)] });
      },
    },
    {
      method: 'GET',
      path: '/features',
      handle: (_request, response) => {
        answers.json(response, 200, serverFeatures(options));
      },
    },
    {
      method: 'GET',
      path: '/',
      handle: (_request, response) => {
        response.status(200).setHeader('Content-Type', 'text/html; charset=utf-8');
        response.end(HOME_PAGE);
      },
    },
    {
      method: 'GET',
      path: '/ws',
      handle: (_request, response) => {
        answers.text(response, 400, 'No WebSocket UPGRADE hdr: None\n Can "Upgrade" only to "WebSocket".');
      },
    },
  ];
}

/** Python and torch of the recorded server (recorded: system_stats.json); `argv` tells how this one was started. */
function systemOf(options: SimulatorOptions): unknown {
  const { cache, version } = options;
  return {
    os: 'linux',
    ram_total: totalmem(),
    ram_free: freemem(),
    comfyui_version: version.number,
    ...version.systemFacts,
    python_version: '3.11.7 (main, May  9 2026, 07:35:25) [GCC 12.2.0]',
    pytorch_version: '2.15.0+cu132',
    embedded_python: false,
    argv: [
      'main.py',
      ...(options.device === 'cpu' ? ['--cpu'] : []),
      ...['--listen', options.host, '--port', String(options.port), '--disable-api-nodes'],
      ...(cache === version.defaultCache ? [] : CACHE_FLAGS[cache]),
    ],
  };
}

/** On a CPU the card's memory is the machine's, and it has no index. */
function deviceOf({ device }: SimulatorOptions, { totalGib, heldGib }: Vram): unknown {
  const isCpu = device === 'cpu';
  const total = isCpu ? totalmem() : Math.round((totalGib ?? USUAL_VRAM_GIB) * BYTES_PER_GB);
  const free = isCpu ? freemem() : Math.max(0, total - Math.round(heldGib * BYTES_PER_GB));
  return {
    name: isCpu ? 'cpu' : 'cuda:0 NVIDIA Simulated : cudaMallocAsync',
    type: device,
    index: isCpu ? null : 0,
    vram_total: total,
    vram_free: free,
    torch_vram_total: isCpu ? total : 0,
    torch_vram_free: isCpu ? free : 0,
  };
}
