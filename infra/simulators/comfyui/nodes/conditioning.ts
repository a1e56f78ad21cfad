import type { NodeContext, NodeRunner } from '../node-runner.js';

/** Nodes that turn text into CONDITIONING, or change it. */
export const conditioningNodes: Readonly<Record<string, NodeRunner>> = {
  CLIPTextEncode: conditioning(({ inputs }) => inputs.text('text')),
  CLIPTextEncodeFlux: conditioning(({ inputs }) => inputs.text('t5xxl')),
  CLIPTextEncodeSDXL: conditioning(({ inputs }) => inputs.text('text_g')),
  FluxGuidance: conditioning(
    ({ inputs }) => `${inputs.conditioningText('conditioning')} (guidance ${inputs.number('guidance', 3.5)})`,
  ),
  ConditioningZeroOut: conditioning(() => ''),
  ConditioningCombine: conditioning(
    ({ inputs }) => `${inputs.conditioningText('conditioning_1')} + ${inputs.conditioningText('conditioning_2')}`,
  ),
};

function conditioning(textOf: (context: NodeContext) => string): NodeRunner {
  return async (context) => ({ outputs: [{ kind: 'conditioning', text: textOf(context) }] });
}
