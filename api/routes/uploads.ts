import { Router } from 'express';
import { ProblemError } from '../problem-error.js';
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
      async (req, res) => {
        if (!/^multipart\/form-data\s*;/i.test(req.headers['content-type'] ?? '')) {
          throw new ProblemError('unsupported_media_type', 'The body is no multipart/form-data.', {
            remedy: 'Send the file as a form: curl -F file=@picture.png …/v1/uploads',
          });
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
  return router;
}

async function refusing<T>(add: () => Promise<T>): Promise<T> {
  try {
    return await add();
  } catch (error) {
    if (error instanceof UploadRefusedError) throw new ProblemError('invalid_upload', `The file ${error.message}.`);
    throw error;
  }
}
