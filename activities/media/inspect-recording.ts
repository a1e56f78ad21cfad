import type { Input, InputFormat, InputTrack, InputVideoTrack } from 'mediabunny';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { checkContainer } from './check-container.js';
import { checkFlacFrames } from './check-flac-frames.js';
import { decodeWithFfmpeg } from './decode-with-ffmpeg.js';
import { withFileWindow } from './file-window.js';
import { durationFault, sizeFault } from './expectation-faults.js';
import { MediaFaultError, UNTIMED, invalid } from './media-verdict.js';
import type { MediaVerdict } from './media-verdict.js';

/** What a header may promise beyond the last picture: the time for which that is shown. */
const CUT_VIDEO_SECONDS = 0.25;
/** An MP3 that lost its last frame is 26 ms short of what its header says. */
const CUT_SECONDS = 0.015;
/** R4.4: below this nobody believes a video that was not decoded. */
const MIN_VIDEO_BYTES = 10_000;

const EXTENSIONS: Readonly<Record<string, { readonly video: string; readonly audio: string }>> = {
  'video/mp4': { video: 'mp4', audio: 'm4a' },
  'video/quicktime': { video: 'mov', audio: 'mov' },
  'video/webm': { video: 'webm', audio: 'webm' },
  'video/x-matroska': { video: 'mkv', audio: 'mka' },
  'audio/mpeg': { video: 'mp3', audio: 'mp3' },
  'audio/wav': { video: 'wav', audio: 'wav' },
  'audio/flac': { video: 'flac', audio: 'flac' },
  'application/ogg': { video: 'ogv', audio: 'ogg' },
};

export interface Inspection {
  readonly path: string;
  readonly kind: 'video' | 'audio';
  readonly expected: ExpectedOutputs;
  /** Without it the data of a video is taken as it is. */
  readonly ffmpegPath: string | null;
  readonly signal: AbortSignal;
}

/** Walks a video or a sound from its first to its last packet, and decodes it where ffmpeg is present. */
export async function inspectRecording(inspection: Inspection): Promise<MediaVerdict> {
  try {
    return await inspected(inspection);
  } catch (error) {
    inspection.signal.throwIfAborted();
    if (error instanceof MediaFaultError) return invalid(error.fault, error.message);
    throw error;
  }
}

async function inspected(inspection: Inspection): Promise<MediaVerdict> {
  const { path, ffmpegPath, signal } = inspection;
  const bytes = await withFileWindow(path, async (file) => {
    if (file.bytes === 0) throw new MediaFaultError('empty', 'it has no bytes');
    await checkContainer(file);
    return file.bytes;
  });
  const verdict = await demuxed(inspection);
  if (!verdict.ok) return verdict;
  if (ffmpegPath !== null) await decodeWithFfmpeg(ffmpegPath, path, signal);
  else if (inspection.kind === 'video' && bytes < MIN_VIDEO_BYTES) {
    return invalid(
      'too_small',
      `a video of ${bytes} bytes is believed only when it was decoded: install ffmpeg beside the worker, or set FFMPEG_PATH`,
    );
  }
  return verdict;
}

async function demuxed({ path, kind, expected }: Inspection): Promise<MediaVerdict> {
  // Loaded with the first video: it takes 18 MB that most workers never need.
  const { FLAC, FilePathSource, Input, MATROSKA, MP3, MP4, OGG, QTFF, WAVE, WEBM } = await import('mediabunny');
  const formats: InputFormat[] = [MP4, QTFF, WEBM, MATROSKA, MP3, WAVE, OGG, FLAC];
  const input = new Input({ formats, source: new FilePathSource(path) });
  try {
    if (!(await input.canRead())) return invalid('unknown_signature', `it is no ${kind} that is known here`);
    const format = await input.getFormat();
    if (format === FLAC) await checkFlacFrames(input);
    return await judged(input, { kind, expected, mediaType: format.mimeType });
  } catch (error) {
    if (error instanceof MediaFaultError) throw error;
    throw new MediaFaultError('undecodable', error instanceof Error ? error.message : String(error));
  } finally {
    input.dispose();
  }
}

async function judged(
  input: Input,
  asked: Pick<Inspection, 'kind' | 'expected'> & { readonly mediaType: string },
): Promise<MediaVerdict> {
  const { kind, expected } = asked;
  const video = await input.getPrimaryVideoTrack();
  const audio = await input.getPrimaryAudioTrack();
  const track = kind === 'video' ? video : audio;
  if (track === null || (kind === 'audio' && video !== null)) {
    return invalid('wrong_kind', `it holds ${video === null ? 'no video' : 'a video'}, expected was a ${kind}`);
  }
  const { packetCount } = await track.computePacketStats();
  if (packetCount === 0) return invalid('no_frames', `its ${kind} has no ${kind === 'video' ? 'pictures' : 'samples'}`);
  const durationSeconds = await wholeDuration(input, track);
  const facts = {
    ...UNTIMED,
    ...(track.isVideoTrack() ? { ...(await sizeOf(track)), frames: packetCount } : {}),
    durationSeconds,
  };
  const fault = sizeFault(facts, expected) ?? framesFault(facts, expected) ?? durationFault(durationSeconds, expected);
  if (fault !== null) return fault;
  const hasSound = audio !== null && (await audio.computePacketStats()).packetCount > 0;
  if (expected.hasSound === true && !hasSound) return invalid('no_sound', 'it has no sound');
  return { ok: true, ...facts, hasSound, ...(await typeOf(asked.mediaType, track)) };
}

/** Of that track, whose sound may be a little longer, from the first to the last packet; less than the header promises means that the rest is missing. */
async function wholeDuration(input: Input, track: InputTrack): Promise<number> {
  const found = await track.computeDuration();
  const promised = (await input.getDurationFromMetadata([track])) ?? found;
  if (found < promised - (track.isVideoTrack() ? CUT_VIDEO_SECONDS : CUT_SECONDS)) {
    throw new MediaFaultError('truncated', `it ends after ${found.toFixed(2)} of ${promised.toFixed(2)} s`);
  }
  return found;
}

async function sizeOf(track: InputVideoTrack): Promise<{ readonly widthPx: number; readonly heightPx: number }> {
  return { widthPx: await track.getDisplayWidth(), heightPx: await track.getDisplayHeight() };
}

function framesFault({ frames }: { readonly frames: number | null }, expected: ExpectedOutputs): MediaVerdict | null {
  if (frames === null || expected.frames === null || frames === expected.frames) return null;
  return invalid('wrong_frames', `it has ${frames} pictures, asked were ${expected.frames}`);
}

async function typeOf(
  container: string,
  track: InputTrack,
): Promise<{ readonly mediaType: string; readonly extension: string }> {
  const sort = track.isVideoTrack() ? 'video' : 'audio';
  const isOpus = container === 'application/ogg' && (await track.getCodec()) === 'opus';
  const mediaType = sort === 'audio' ? container.replace(/^(video|application)\//, 'audio/') : container;
  return { mediaType, extension: isOpus ? 'opus' : (EXTENSIONS[container]?.[sort] ?? 'bin') };
}
