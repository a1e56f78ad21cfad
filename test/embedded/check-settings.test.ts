import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { checkSettings } from '../../infra/embedded/check-settings.js';

test('nothing needs to be set', async () => {
  await expect(checkSettings({})).resolves.toBeUndefined();
});

test.each([
  ['MAX_GPU_JOBS', '0', 'a whole number from 1 to 64'],
  ['COMFYUI_URL', 'nonsense', 'http://127.0.0.1:8188'],
  ['LOG_LEVEL', 'loud', 'must be one of trace, debug'],
  ['DATABASE_URL', 'foo', 'postgres://user:password@127.0.0.1:5432/durable_comfy'],
  ['PORT', 'abc', 'a whole number from 0 to 65535'],
  ['WORKER_ROLES', 'gpus', 'knows only control and gpu'],
  ['POOL', 'my pool', 'letters, digits'],
  ['SEARCH_ATTRIBUTES', 'maybe', 'must be on or off'],
  ['OBJECT_STORE', 's3', 'must be minio or versitygw'],
  ['S3_PUBLIC_ENDPOINT', 'files.example.com', 'an address such as https://files.example.com'],
  ['DOWNLOAD_LINK_SECONDS', '301', 'a whole number from 1 to 300'],
])(
  '%s=%s is one sentence that names the variable and what is allowed, before anything is started',
  async (name, value, allowed) => {
    const check = checkSettings({ [name]: value });
    await expect(check).rejects.toThrow(name);
    await expect(check).rejects.toThrow(allowed);
  },
);

test('a password in COMFYUI_URL is not repeated', async () => {
  await expect(checkSettings({ COMFYUI_URL: 'ftp://me:secret@gpu' })).rejects.toThrow(
    expect.not.stringContaining('secret'),
  );
});

test('R5.1 the file that RECOVERY_CONFIG names is read, and refused in the words that a worker has for it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'check-settings-'));
  const path = join(folder, 'rules.yaml');
  writeFileSync(path, 'rules:\n  - name: bad\n    pattern: (a+)+$\n    kind: TIMEOUT\n');
  await expect(checkSettings({ RECOVERY_CONFIG: path })).rejects.toThrow(
    `RECOVERY_CONFIG ${path}, line 3: rule bad: the pattern could hang`,
  );
  rmSync(folder, { recursive: true });
  await expect(checkSettings({ RECOVERY_CONFIG: path })).rejects.toThrow('which cannot be read');
});
