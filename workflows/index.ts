export { generateMedia } from './generate-media.js';
export { operateBackend } from './operate-backend.js';
