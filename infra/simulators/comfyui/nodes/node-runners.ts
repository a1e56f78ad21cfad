import type { NodeRunner } from '../node-runner.js';
import { conditioningNodes } from './conditioning.js';
import { faceNodes } from './faces.js';
import { imageNodes } from './images.js';
import { inpaintingNodes } from './inpainting.js';
import { latentNodes } from './latents.js';
import { maskNodes } from './masks.js';
import { modelNodes } from './models.js';
import { outputNodes } from './outputs.js';
import { recordingNodes } from './recordings.js';
import { samplerNodes } from './samplers.js';
import { videoFileNodes } from './video-files.js';

/** Every class the simulator can run; the others are known to validation only. */
export const nodeRunners: ReadonlyMap<string, NodeRunner> = new Map(
  Object.entries({
    ...modelNodes,
    ...conditioningNodes,
    ...latentNodes,
    ...samplerNodes,
    ...imageNodes,
    ...outputNodes,
    ...recordingNodes,
    ...maskNodes,
    ...inpaintingNodes,
    ...faceNodes,
    ...videoFileNodes,
  }),
);
