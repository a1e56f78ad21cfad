export { emergencyStop } from './emergency-stop.js';
export { generateMedia } from './generate-media.js';
export { operateBackend } from './operate-backend.js';
export { upkeep } from './upkeep.js';
