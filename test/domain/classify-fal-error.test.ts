import { expect, test } from '@jest/globals';
import { classifyFalErrorType, classifyFalRefusal } from '../../workflows/domain/classify-fal-error.js';

test.each([
  ['face_detection_error', 'image_url', 'NO_FACE'],
  ['image_load_error', 'image_url', 'BAD_INPUT'],
  ['file_download_error', 'image_url', 'BAD_INPUT'],
  ['file_too_large', 'image_url', 'INPUT_TOO_LARGE'],
  ['content_policy_violation', 'image_url', 'BAD_INPUT'],
  ['content_policy_violation', 'prompt', 'WORKFLOW_ERROR'],
  ['missing', 'image_url', 'WORKFLOW_ERROR'],
  ['something_new', 'num_images', 'WORKFLOW_ERROR'],
  ['toString', 'prompt', 'WORKFLOW_ERROR'],
])('a model that says %s of %s means %s', (type, field, kind) => {
  expect(classifyFalRefusal([{ type, field, message: '' }])).toBe(kind);
});

test('a refusal without details is one of the request as a whole', () => {
  expect(classifyFalRefusal([])).toBe('WORKFLOW_ERROR');
});

test.each([
  ['request_timeout', 'TIMEOUT'],
  ['startup_timeout', 'TIMEOUT'],
  ['runner_disconnected', 'NETWORK_ERROR'],
  ['runner_of_a_new_kind', 'NETWORK_ERROR'],
  ['internal_error', 'NETWORK_ERROR'],
  ['client_cancelled', 'INTERRUPTED'],
  ['bad_request', 'WORKFLOW_ERROR'],
  ['something_new', 'UNEXPECTED'],
  ['toString', 'UNEXPECTED'],
  [null, 'UNEXPECTED'],
])('a request that ended with %s means %s', (errorType, kind) => {
  expect(classifyFalErrorType(errorType)).toBe(kind);
});
