import { LONG_WAIT_SECONDS } from './message-texts.js';
import { RECORDED_TEXTS } from '../../workflows/domain/recovery-texts.js';
import type { Messages } from './message-texts.js';

export const english: Messages = {
  failures: {
    CUDA_OOM: 'The picture needs more memory than the server has. Try a smaller size or fewer pictures.',
    TIMEOUT: '❌ The generation took too long. Try a simpler prompt.',
    MODEL_MISSING: 'This style is not available right now. Try another one.',
    NETWORK_ERROR: 'The generation server is unavailable. Try again later.',
    BACKEND_CRASHED: 'The generation server is unavailable. Try again later.',
    INTERRUPTED: 'The generation was stopped. Try again.',
    PROMPT_LOST: 'The generation was lost. Try again.',
    DEVICE_POISONED: 'The generation server is unavailable. Try again later.',
    HOST_OOM: 'The generation server is unavailable. Try again later.',
    ENVIRONMENT: 'This kind of picture cannot be made here. Try another one.',
    MODEL_CORRUPT: 'This style is not available right now. Try another one.',
    MODEL_INCOMPATIBLE: 'This style is not available right now. Try another one.',
    DISK_FULL: 'The generation server is unavailable. Try again later.',
    WORKFLOW_ERROR: 'The picture could not be processed. Try another prompt or photo.',
    NO_FACE: 'No face was found in the photo. Upload a photo with a clear picture of a face.',
    BAD_INPUT: 'The file could not be read. Upload a photo as PNG, JPEG or WebP.',
    INPUT_TOO_LARGE: 'The file is too large. Upload a smaller one.',
    OUTPUT_INVALID: 'The picture could not be processed. Try another prompt or photo.',
    OUTPUT_TOO_LARGE: 'The result is too large. Ask for a smaller or shorter one.',
    NO_CAPACITY: 'The generation server is unavailable. Try again later.',
    UNEXPECTED: 'The picture could not be processed. Try another prompt or photo.',
  },
  attempts: RECORDED_TEXTS,
  byRule: ({ text, rule }) => `${text} (rule ${rule})`,
  strategies: {
    free_memory: 'Freed memory',
    free_all: 'Freed memory and cache',
    split_batch: 'Split batch',
    tiled_decode: 'Decoded in tiles',
    reduce_params: 'Reduced parameters',
    switch_model: 'Switched model',
    other_backend: 'Switched backend',
    clean_up: 'Removed old files',
    resubmit: 'Submitted again',
    wait_and_resubmit: 'Waited and submitted again',
    resume: 'Resumed from checkpoint',
    take_over: 'Took over',
    rediscover: 'Looked for a backend again',
    retry: 'Tried again',
    download_again: 'Downloaded again',
    render_again: 'Rendered again',
    fal: 'Switched to fal.ai',
  },
  recovered: ({ done, from }) => `${done} for ${from}`,
  busy: ({ busy, slots, position, startsInSeconds: seconds }) =>
    `⏳ Server busy ${busy}/${slots}, position ${position}. Your generation will start in ${
      seconds === null || seconds < LONG_WAIT_SECONDS ? 'a few seconds...' : `about ${Math.round(seconds / 60)} min.`
    }`,
};
