export { generateMedia } from './generate-media.js';
