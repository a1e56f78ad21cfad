import { FalModelIdError, NotFalError } from './errors.js';

/** The parts of a model's id that its addresses are made of. */
export interface FalModelPaths {
  /** `/owner/app/path`: where a request is posted. */
  readonly submit: string;
  /** `/owner/app/requests/<id>`: the path of the model is not part of it. */
  request(requestId: string): string;
}

const SEGMENT = /^(?!\.+$)[\w.-]{1,100}$/;

/** Addresses are built here and never taken from an answer: those would be a way to anywhere. Throws on other ids. */
export function falModelPaths(modelId: string): FalModelPaths {
  const segments = modelId.split('/');
  if (segments.length < 2 || segments.length > 6 || !segments.every((segment) => SEGMENT.test(segment))) {
    throw new FalModelIdError(modelId);
  }
  const [owner = '', app = ''] = segments;
  return {
    submit: `/${segments.join('/')}`,
    request(requestId) {
      if (!SEGMENT.test(requestId)) throw new NotFalError('The id of the request is none that fal.ai would give');
      return `/${owner}/${app}/requests/${requestId}`;
    },
  };
}
