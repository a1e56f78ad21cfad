import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { LANGUAGES, messagesIn } from '../../api/messages/messages.js';
import { FAILURE_KINDS } from '../../workflows/domain/failure.js';
import type { FailureKind } from '../../workflows/domain/failure.js';
import { accept, call, createTestSetting } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

async function failed(kind: FailureKind): Promise<string> {
  const id = await accept(api);
  const failure = JSON.stringify({ detail: 'Node 3 (KSampler)', facts: {} });
  const status = kind === 'TIMEOUT' ? 'TIMEOUT' : 'FAILED';
  await setting.database
    .updateTable('generations')
    .set({ status, failure_kind: kind, failure, finished_at: new Date() })
    .where('id', '=', id)
    .execute();
  return id;
}

async function messageFor(id: string, accepted: string) {
  const { json, headers } = await call(`${api}/v1/generations/${id}`, { headers: { 'Accept-Language': accepted } });
  const error = json['error'] as { readonly userMessage: string; readonly title: string };
  return {
    message: error.userMessage,
    title: error.title,
    language: headers['content-language'],
    vary: headers['vary'],
  };
}

describe.each(LANGUAGES)('R4.2 Messages in %s', (language) => {
  test.each(FAILURE_KINDS)('%s has a text of its own language for people', (kind) => {
    const { failures, failuresOnFal } = messagesIn(language);
    const onFal = new Map<string, string>(Object.entries(failuresOnFal)).get(kind);
    for (const text of [failures[kind], ...(onFal === undefined ? [] : [onFal])]) {
      expect(text).toMatch(/[.!]$/);
      expect(/\p{Script=Cyrillic}/u.test(text)).toBe(language === 'ru');
    }
  });
});

test.each<[FailureKind, string, string]>([
  ['ENVIRONMENT', 'The key for fal.ai is missing or refused', 'Сервер генерации недоступен. Попробуйте позже.'],
  ['WORKFLOW_ERROR', 'fal.ai refused the request', 'Запрос не был принят. Попробуйте другой промт или фото.'],
])('%s that fal.ai alone has caused names fal.ai, and not a ComfyUI', async (kind, title, userMessage) => {
  const id = await failed(kind);
  await setting.database.updateTable('generations').set({ provider: 'fal' }).where('id', '=', id).execute();
  const { json } = await call(`${api}/v1/generations/${id}`, { headers: { 'Accept-Language': 'ru' } });
  expect(json['error']).toMatchObject({ title, userMessage });
});

test.each<[FailureKind, string]>([
  ['TIMEOUT', '❌ Генерация заняла слишком много времени. Кредиты возвращены. Попробуйте упростить промт.'],
  ['NETWORK_ERROR', 'Сервер генерации недоступен. Попробуйте позже.'],
  ['NO_FACE', 'На фото не обнаружено лицо. Загрузите фото с четким изображением лица.'],
  ['WORKFLOW_ERROR', 'Не удалось обработать изображение. Попробуйте другой промт или фото.'],
])('R4.2 %s in Russian is what its users know', async (kind, text) => {
  const answer = await messageFor(await failed(kind), 'ru-RU,ru;q=0.9,en;q=0.5');
  expect(answer).toMatchObject({ message: text, language: 'ru', vary: expect.stringContaining('Accept-Language') });
  expect(answer.title).toMatch(/^[\x20-\x7e]+$/); // what operators read stays in one language
});

test.each(['en', 'de, fr;q=0.5', '*', ''])('R4.2 a caller who accepts "%s" reads English', async (accepted) => {
  const answer = await messageFor(await failed('NO_FACE'), accepted);
  expect(answer).toMatchObject({ message: expect.stringContaining('No face was found'), language: 'en' });
});

describe.each(LANGUAGES)('R5.8 What was done about a failure, in %s', (language) => {
  test('has a text of its own language for every recovery', () => {
    const { attempts, strategies } = messagesIn(language);
    for (const text of [...Object.values(attempts), ...Object.values(strategies)])
      expect(/\p{Script=Cyrillic}/u.test(text)).toBe(language === 'ru');
  });
});

test('R5.8 attempts are told in the language of the caller, and stay English in the records', async () => {
  const id = await accept(api);
  const kinds = { kind: 'CUDA_OOM', strategy: 'reduce_params' } as const;
  const message = 'The picture is made smaller, with fewer steps';
  const messages = [message, `${message} (rule heavy-node)`, 'In the words of an earlier version'];
  for (const [index, text] of messages.entries())
    await setting.database
      .insertInto('recovery_attempts')
      .values({ generation_id: id, attempt: index + 1, ...kinds, message: text })
      .execute();
  const read = async (path: string, accepted: string) =>
    (await call(`${api}${path}`, { headers: { 'Accept-Language': accepted } })).json;
  const russian = 'Изображение создаётся меньшим, за меньшее число шагов';
  expect(await read(`/v1/generations/${id}`, 'ru')).toMatchObject({
    attempts: [
      { message: russian },
      { message: `${russian} (правило heavy-node)` },
      { message: 'In the words of an earlier version' },
    ],
  });
  expect(await read(`/v1/generations/${id}`, 'en')).toMatchObject({
    attempts: messages.map((text) => ({ message: text })),
  });
  const job = `/api/error-recovery/jobs/${id}/status`;
  const history = async (accepted: string) =>
    ((await read(job, accepted)) as { data: { recovery_history: { message: string }[] } }).data.recovery_history;
  expect(await history('en')).toMatchObject([
    { message: 'Reduced parameters for cuda_out_of_memory' },
    { message: 'Reduced parameters for cuda_out_of_memory (rule heavy-node)' },
    {},
  ]);
  expect(await history('ru')).toMatchObject([
    { message: 'Параметры уменьшены (cuda_out_of_memory)' },
    { message: 'Параметры уменьшены (cuda_out_of_memory) (правило heavy-node)' },
    {},
  ]);
});

test('R4.3 while all GPUs are taken the answer to a submission says so, and the first answer is kept', async () => {
  const report = {
    ...{ backendId: 'b1', pool: 'default', health: 'healthy', reason: 'ComfyUI 0.8.0 answers', gate: 'open' },
    ...{ addresses: [], comfyuiVersion: '0.8.0', device: 'gpu', deviceName: 'Test GPU', vramTotalBytes: 8e9 },
    ...{ queueRemaining: 1, maxGpuJobs: 1, capabilitiesKey: null, reportedAt: new Date().toISOString() },
  };
  await setting.store.writeJson('backends/b1.json', report, { kind: 'always' });
  const fresh = await setting.startApi(); // the directory is read once in some seconds
  const submit = async (language: string) =>
    call(`${fresh}/v1/generations`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Accept-Language': language, 'Idempotency-Key': 'busy' },
      body: JSON.stringify({ template: 'test-card', parameters: {} }),
    });
  const first = await submit('ru');
  expect(first.json['queue']).toMatchObject({
    userMessage: '⏳ Сервер загружен (1/1 задач). Ваша генерация начнется через несколько секунд...',
  });
  expect((await submit('en')).text).toBe(first.text);
});
