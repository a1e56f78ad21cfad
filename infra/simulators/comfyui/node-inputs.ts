import type {
  ConditioningValue,
  ImageValue,
  LatentValue,
  ModelValue,
  NodeValue,
  SettingsValue,
  SoundValue,
  VideoValue,
} from './node-value.js';

type Kinds = LatentValue | ImageValue | VideoValue | SoundValue | ModelValue | ConditioningValue | SettingsValue;

/** The resolved inputs of one node: literals, and for links what the upstream node gave. */
export class NodeInputs {
  readonly #values: Readonly<Record<string, NodeValue | undefined>>;

  constructor(values: Readonly<Record<string, NodeValue | undefined>>) {
    this.#values = values;
  }

  value(name: string): NodeValue | undefined {
    return this.#values[name];
  }

  text(name: string, fallback = ''): string {
    const value = this.#values[name];
    return value === undefined || typeof value === 'object' ? fallback : String(value);
  }

  number(name: string, fallback = 0): number {
    const value = this.#values[name];
    return typeof value === 'number' ? value : fallback;
  }

  image(name: string): ImageValue {
    return this.#kind(name, 'image');
  }

  video(name: string): VideoValue {
    return this.#kind(name, 'video');
  }

  sound(name: string): SoundValue {
    return this.#kind(name, 'sound');
  }

  latent(name: string): LatentValue {
    return this.#kind(name, 'latent');
  }

  /** The file a MODEL, CLIP or VAE came from; empty when the input is not connected. */
  modelName(name: string): string {
    const value = this.#values[name];
    return typeof value === 'object' && value?.kind === 'model' ? value.name : '';
  }

  conditioningText(name: string): string {
    const value = this.#values[name];
    return typeof value === 'object' && value?.kind === 'conditioning' ? value.text : '';
  }

  facts(name: string): SettingsValue['facts'] {
    const value = this.#values[name];
    return typeof value === 'object' && value?.kind === 'settings' ? value.facts : {};
  }

  #kind<K extends Kinds['kind']>(name: string, kind: K): Extract<Kinds, { kind: K }> {
    const value = this.#values[name];
    if (isOfKind(value, kind)) return value;
    throw new TypeError(`input ${name} is not a ${kind}`);
  }
}

function isOfKind<K extends Kinds['kind']>(
  value: NodeValue | undefined,
  kind: K,
): value is Extract<Kinds, { kind: K }> {
  return typeof value === 'object' && value?.kind === kind;
}
