import sharp from 'sharp';
import type { NodeRunner } from '../node-runner.js';
import { NodeError } from '../node-runner.js';
import type { ImageValue } from '../node-value.js';
import { hashOf, renderOver } from '../pictures.js';

/** Edge of the pictures that LivePortrait's model makes. */
const FACE_PX = 512;
/** Standard deviation of the lightness, of 255; below it there is nothing in the picture. */
const FLAT_BELOW = 4;

/** IP-Adapter FaceID, LivePortrait and ReActor (data/SOURCES.md). A flat picture has no face. */
export const faceNodes: Readonly<Record<string, NodeRunner>> = {
  IPAdapterFaceID: async ({ inputs }) => {
    const image = inputs.image('image');
    if (!(await hasFace(image))) throw new NodeError('Exception', 'InsightFace: No face detected.');
    const weights = `${inputs.number('weight', 1)}/${inputs.number('weight_faceidv2', 1)}`;
    const face = `${inputs.modelName('ipadapter')}:${hashOf(image.frames.map(hashOf))}@${weights}`;
    return { outputs: [{ kind: 'model', name: `${inputs.modelName('model')}+${face}` }, image] };
  },

  /** Without a face in one of the two pictures it passes on what it was given, says so in the log alone, and succeeds. */
  ReActorFaceSwap: async ({ inputs }) => {
    const target = inputs.image('input_image');
    const source = inputs.image('source_image');
    const hasBoth = (await hasFace(target)) && (await hasFace(source));
    if (!hasBoth) return { outputs: [target] };
    const lines = ['SIMULATOR', 'ReActor', hashOf(source.frames.map(hashOf)).slice(0, 12)];
    const [first = Buffer.alloc(0)] = target.frames;
    const place = { index: 0, frame: 0, frameCount: 1 };
    return { outputs: [{ ...target, frames: [await renderOver({ picture: first, size: target, lines, place })] }] };
  },

  /** Finds no face without a word; the node after it says so. */
  LivePortraitCropper: async ({ inputs }) => {
    const source = inputs.image('source_image');
    const found = (await hasFace(source)) ? 1 : 0;
    return { outputs: [source, { kind: 'settings', facts: { faces: found } }] };
  },

  LivePortraitProcess: async (context) => {
    const { inputs } = context;
    if (inputs.facts('crop_info')['faces'] === 0) {
      throw new NodeError('ValueError', 'No face detected in FIRST source image');
    }
    const source = inputs.image('source_image');
    const frameCount = inputs.image('driving_images').frames.length;
    await context.runSteps(frameCount);
    const [first = Buffer.alloc(0)] = source.frames;
    const face = await sharp(first).resize(FACE_PX, FACE_PX, { fit: 'fill' }).png().toBuffer();
    const cropped = {
      kind: 'image',
      widthPx: FACE_PX,
      heightPx: FACE_PX,
      frames: Array(frameCount).fill(face),
    } as const;
    const facts = {
      frameCount,
      motion: inputs.number('delta_multiplier', 1),
      mode: inputs.text('relative_motion_mode'),
    };
    return { outputs: [cropped, { kind: 'settings', facts }] };
  },

  LivePortraitComposite: async ({ inputs }) => {
    const source = inputs.image('source_image');
    const { frameCount, motion, mode } = inputs.facts('liveportrait_out');
    const lines = ['SIMULATOR', 'LivePortrait', `motion ${String(motion)} ${String(mode)}`];
    const [first = Buffer.alloc(0)] = source.frames;
    const places = Array.from({ length: Number(frameCount) }, (_, frame) => ({
      index: 0,
      frame,
      frameCount: Number(frameCount),
    }));
    const frames = await Promise.all(places.map((place) => renderOver({ picture: first, size: source, lines, place })));
    return {
      outputs: [
        { ...source, frames },
        { ...source, frames: [first] },
      ],
    };
  },
};

async function hasFace({ frames }: ImageValue): Promise<boolean> {
  const [first] = frames;
  if (first === undefined) return false;
  const { channels } = await sharp(first).removeAlpha().greyscale().stats();
  return (channels[0]?.stdev ?? 0) >= FLAT_BELOW;
}
