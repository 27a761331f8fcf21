/** Reading config.json of other libraries: values with their checks, and the names that activations have there. */
import { ApolloError } from '../errors.js';
import type { Activation } from '../nn/layers.js';

/** An object of a foreign config.json. */
export type ForeignJson = Readonly<Record<string, unknown>>;

/**
 * Names of activations that our models compute, as ACT2FN of transformers has them. "gelu_python" is the exact GELU written
 * out; "gelu_fast" and "gelu_accurate" are the tanh form in other words.
 */
const activations: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  gelu_fast: 'geluTanh',
  gelu_accurate: 'geluTanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
};

/** The name under which each is written. */
export const activationNames: Readonly<Record<Activation, string>> = {
  gelu: 'gelu',
  geluTanh: 'gelu_new',
  relu: 'relu',
  silu: 'silu',
};

/**
 * A config.json. Its methods throw ApolloError BAD_CHECKPOINT naming the file.
 * @example
 * const layersOf = (json: ForeignConfig) => json.number('num_hidden_layers');
 */
export class ForeignConfig {
  constructor(
    /** All fields of the file, as they were read. */
    readonly json: ForeignJson,
    /** Names the file in messages. */
    readonly source: string,
  ) {}

  /** Refuses the file. @throws {ApolloError} BAD_CHECKPOINT with its path and `message`. */
  reject(message: string): never {
    throw new ApolloError('BAD_CHECKPOINT', `${this.source}: ${message}`);
  }

  /** The number called `key`; `fallback` where it is absent or null. */
  number(key: string, fallback?: number): number {
    const value = this.json[key] ?? fallback;
    return typeof value === 'number'
      ? value
      : this.reject(`${key} must be a number; got ${JSON.stringify(this.json[key])}.`);
  }

  /** Refuses a setting whose value is not in `allowed`. */
  check(key: string, allowed: readonly unknown[]): void {
    const value = this.json[key] ?? undefined;
    if (value === undefined || allowed.includes(value)) return;
    const supported = allowed.length > 0 ? allowed.map((each) => JSON.stringify(each)).join(', ') : 'none';
    this.reject(`${key} is ${JSON.stringify(value)}; supported: ${supported}.`);
  }

  /**
   * `activation` and `tied` where they differ from `usual` and true: fields that do not are left out, as in configurations
   * made here.
   */
  differing(
    key: string,
    usual: Activation,
  ): {
    /** The activation, where it is not the usual one. */
    readonly activation?: Activation;
    /** false where the head has a table of its own; else absent. */
    readonly tied?: false;
  } {
    const name = this.json[key] ?? undefined;
    const activation = name === undefined ? usual : this.#activation(key, name);
    return {
      ...(activation !== usual && { activation }),
      ...(this.json['tie_word_embeddings'] === false && { tied: false }),
    };
  }

  #activation(key: string, name: unknown): Activation {
    const known = typeof name === 'string' && Object.hasOwn(activations, name) ? activations[name] : undefined;
    return (
      known ?? this.reject(`${key} is ${JSON.stringify(name)}; supported: ${Object.keys(activations).join(', ')}.`)
    );
  }
}
