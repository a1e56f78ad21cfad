import { answers, jsonBody } from '../answers.js';
import { isRecord } from '../is-record.js';
import { VRAM_RANGE_GIB } from '../options.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';

const { min, max } = VRAM_RANGE_GIB;

/** /simulator/vram: the memory of the card, and what is held of it. */
export function vramRoutes({ vram }: ServerParts): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/simulator/vram',
      handle: (_request, response) => {
        answers.json(response, 200, { gib: vram.totalGib, heldGib: vram.heldGib });
      },
    },
    {
      method: 'POST',
      path: '/simulator/vram',
      handle: (request, response) => {
        const body = jsonBody(request);
        const gib = isRecord(body) ? body['gib'] : undefined;
        if (!isVramSize(gib)) {
          answers.json(response, 400, {
            error: `gib must be a number from ${min} to ${max}, or null for always enough`,
          });
          return;
        }
        vram.totalGib = gib;
        answers.json(response, 200, { gib, heldGib: vram.heldGib });
      },
    },
  ];
}

function isVramSize(value: unknown): value is number | null {
  return value === null || (typeof value === 'number' && value >= min && value <= max);
}
