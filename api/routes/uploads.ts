import { Router } from 'express';
import type { Request, RequestHandler } from 'express';
import { jsonBody } from '../middleware/json-body.js';
import { ProblemError } from '../problem-error.js';
import { parsedBody } from '../schemas/parsed-body.js';
import { uploadAnnouncementSchema } from '../schemas/upload-view.js';
import { UploadRefusedError } from '../uploads/inspect-upload.js';
import { receiveMultipart } from '../uploads/receive-multipart.js';
import type { Uploads } from '../uploads/uploads.js';
import { defineRoute } from './define-route.js';

export interface UploadRoutesDeps {
  readonly uploads: Uploads;
  readonly maxUploadBytes: number;
}

/** A slow line brings 99 MiB in this time at 170 kB/s; what is slower is not sent but dripped. */
const RECEIVE_MS = 10 * 60_000;

export function uploadRoutes({ uploads, maxUploadBytes }: UploadRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/uploads', {
    post: [
      unlessForm(jsonBody),
      async (req, res) => {
        if (!isForm(req)) {
          const { bytes } = parsedBody(uploadAnnouncementSchema, req.body);
          if (bytes > maxUploadBytes) throw tooLarge(maxUploadBytes);
          const announced = await uploads.announce(bytes);
          res.status(201).set('Location', announced.url).json(announced);
          return;
        }
        const signal = AbortSignal.timeout(RECEIVE_MS);
        const view = await refusing(async () =>
          uploads.add(async (path) => receiveMultipart(req, { path, maxBytes: maxUploadBytes, signal })),
        );
        res.status(201).set('Location', view.url).json(view);
      },
    ],
  });
  defineRoute(router, '/v1/uploads/:id', {
    get: async (req, res) => {
      res.json(await uploads.read(String(req.params['id'])));
    },
  });
  defineRoute(router, '/v1/uploads/:id/complete', {
    post: [
      async (req, res) => {
        res.json(await refusing(async () => uploads.complete(String(req.params['id']))));
      },
    ],
  });
  return router;
}

function isForm(req: Request): boolean {
  return /^multipart\/form-data\s*;/i.test(req.headers['content-type'] ?? '');
}

/** A body that is neither is told of JSON, and of the form by the remedy of the code. */
function unlessForm(otherwise: RequestHandler): RequestHandler {
  return (req, res, next) => {
    if (isForm(req)) next();
    else otherwise(req, res, next);
  };
}

function tooLarge(maxBytes: number): ProblemError {
  return new ProblemError('body_too_large', `The file may have ${maxBytes} bytes.`, {
    remedy: 'Send a smaller file; operators raise MAX_UPLOAD_BYTES.',
  });
}

async function refusing<T>(add: () => Promise<T>): Promise<T> {
  try {
    return await add();
  } catch (error) {
    if (error instanceof UploadRefusedError) throw new ProblemError('invalid_upload', `The file ${error.message}.`);
    throw error;
  }
}
