import { expect, test } from '@jest/globals';
import { workerConfigFrom } from '../../workers/worker-config.js';

const GPU_WORKER = {
  WORKER_ROLES: 'gpu',
  ...{ S3_ENDPOINT: 'http://127.0.0.1:9000', S3_ACCESS_KEY_ID: 'a', S3_SECRET_ACCESS_KEY: 'b' },
};

test('the timings of a worker are 15 and 60 seconds, or what the environment says', () => {
  expect(workerConfigFrom(GPU_WORKER).timings).toEqual({ heartbeatTimeoutSeconds: 15, scheduleToStartSeconds: 60 });
  const small = { ...GPU_WORKER, HEARTBEAT_TIMEOUT_SECONDS: '3', SCHEDULE_TO_START_SECONDS: '5' };
  expect(workerConfigFrom(small).timings).toEqual({ heartbeatTimeoutSeconds: 3, scheduleToStartSeconds: 5 });
});

test.each([
  ['HEARTBEAT_TIMEOUT_SECONDS', '2'],
  ['SCHEDULE_TO_START_SECONDS', '4'],
])('%s=%s is refused by its name: a worker could not keep it', (name, value) => {
  expect(() => workerConfigFrom({ ...GPU_WORKER, [name]: value })).toThrow(name);
});
