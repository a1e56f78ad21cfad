import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../infra/runtime/project-root.js';

/** A folder with copies of `test-card` under other names and with other fields, for `TEMPLATES_DIR`. */
export function templateFolder(cards: Readonly<Record<string, Readonly<Record<string, unknown>>>>) {
  const path = mkdtempSync(join(tmpdir(), 'templates-'));
  const card = join(projectRoot, 'comfy-workflows', 'test-card');
  const manifest = JSON.parse(readFileSync(join(card, 'template.json'), 'utf8')) as object;
  for (const [name, fields] of Object.entries(cards)) {
    mkdirSync(join(path, name));
    writeFileSync(join(path, name, 'graph.json'), readFileSync(join(card, 'graph.json')));
    writeFileSync(join(path, name, 'template.json'), JSON.stringify({ ...manifest, ...fields }));
  }
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true });
    },
  };
}
