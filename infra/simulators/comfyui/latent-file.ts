import type { LatentValue, Recipe } from './node-value.js';
import { isRecord } from './is-record.js';
import { NodeError } from './node-runner.js';

const CHANNELS = 4;
const BYTES_PER_FLOAT = 4;

/** A latent as SaveLatent writes it: a safetensors file; what decides our picture travels in its metadata. */
export function latentFile(latent: LatentValue): Buffer {
  const shape = [latent.batchSize, CHANNELS, latent.heightPx / 8, latent.widthPx / 8];
  const data = Buffer.alloc(shape.reduce((product, edge) => product * edge, BYTES_PER_FLOAT));
  const header = {
    __metadata__: { simulator: JSON.stringify(latent) },
    latent_tensor: { dtype: 'F32', shape, data_offsets: [0, data.length] },
    latent_format_version_0: { dtype: 'F32', shape: [0], data_offsets: [data.length, data.length] },
  };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

/** The latent in such a file; anything else fails as safetensors does. */
export function latentFrom(bytes: Buffer): LatentValue {
  const header = headerOf(bytes);
  const metadata = isRecord(header['__metadata__']) ? header['__metadata__'] : {};
  const text = metadata['simulator'];
  const latent: unknown = JSON.parse(typeof text === 'string' ? text : 'null');
  if (isLatent(latent)) return latent;
  throw new NodeError('KeyError', "'latent_tensor'");
}

function headerOf(bytes: Buffer): Record<string, unknown> {
  const length = bytes.length < 8 ? Infinity : Number(bytes.readBigUInt64LE());
  if (length > bytes.length - 8) {
    throw new NodeError(
      'safetensors._safetensors_rust.SafetensorError',
      'Error while deserializing header: header too large',
    );
  }
  const header: unknown = JSON.parse(bytes.subarray(8, 8 + length).toString());
  return isRecord(header) ? header : {};
}

function isLatent(value: unknown): value is LatentValue & { recipe: Recipe | null } {
  return isRecord(value) && value['kind'] === 'latent' && typeof value['widthPx'] === 'number';
}
