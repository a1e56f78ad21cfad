import type { Request, Response } from 'express';

/** One path and method; served at `/x` and `/api/x` unless its path already begins with /api or /simulator. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly handle: (request: Request, response: Response) => void | Promise<void>;
}
