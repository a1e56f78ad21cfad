import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { PromptRejectedError } from '../../activities/comfyui/errors.js';
import { explainRejection } from '../../activities/comfyui/explain-rejection.js';
import { nodeCatalogueFrom } from '../../activities/comfyui/node-catalogue.js';
import { projectRoot } from '../../infra/runtime/project-root.js';

const path = join(projectRoot, 'infra', 'simulators', 'comfyui', 'data', 'object-info.json');
const catalogue = nodeCatalogueFrom(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>);

test('the recorded catalogue offers the values of lists in both styles, and none elsewhere', () => {
  expect(catalogue.classes.size).toBe(423);
  expect(catalogue.optionsOf('KSampler', 'sampler_name')).toContain('euler_ancestral'); // old style
  expect(catalogue.optionsOf('SaveVideo', 'codec')).toEqual(['auto', 'h264']); // new style
  expect(catalogue.optionsOf('KSampler', 'seed')).toBeNull();
  expect(catalogue.optionsOf('KSampler', 'nothing')).toBeNull();
  expect(catalogue.optionsOf('NoSuchClass', 'seed')).toBeNull();
  expect(catalogue.optionsOf('constructor', 'name')).toBeNull();
});

test.each([null, 'text', { input: 'text' }, { input: { required: ['x'] } }, { input: { required: { a: 7 } } }])(
  'a class that no ComfyUI would describe so offers nothing: %j',
  (info) => {
    expect(nodeCatalogueFrom({ Odd: info }).optionsOf('Odd', 'a')).toBeNull();
  },
);

test('R3.4 a refusal names node, title, input, value and the five closest values', () => {
  const said = { type: 'prompt_outputs_failed_validation', message: 'Prompt outputs failed validation', details: '' };
  const fault = {
    ...{ nodeId: '3', nodeType: 'KSampler', type: 'value_not_in_list', message: 'Value not in list' },
    ...{ details: "sampler_name: 'eulr' not in (list of length 44)", inputName: 'sampler_name', receivedValue: 'eulr' },
  };
  const graph = { '3': { class_type: 'KSampler', inputs: {}, _meta: { title: 'The sampler' } } };
  const explained = explainRejection(new PromptRejectedError(said, [fault]), { graph, catalogue });
  expect(explained.faults[0]?.closest).toHaveLength(5);
  expect(explained.message).toContain('node 3 "The sampler" (KSampler): Value not in list: sampler_name: \'eulr\'');
  expect(explained.message).toMatch(/the closest are euler, /);
});

test('R3.4 every class that is missing is named, although ComfyUI names the first alone', () => {
  const said = {
    type: 'invalid_prompt',
    message: 'Cannot execute because node KSampled does not exist.',
    details: "Node ID '#1'",
  };
  const graph = {
    '1': { class_type: 'KSampled', inputs: {} },
    '2': { class_type: 'SaveImag', inputs: {} },
    '3': { class_type: 'KSampler', inputs: {} },
  };
  const { faults } = explainRejection(new PromptRejectedError(said, []), { graph, catalogue });
  expect(faults.map(({ nodeId, closest }) => [nodeId, closest?.[0]])).toEqual([
    ['1', 'KSampler'],
    ['2', 'SaveImage'],
  ]);
});
