/** The configuration of a model and its validation. What only some families have is in their folders. */
import { describe, listedMost } from '../arguments.js';
import type { RotaryScaling } from '../engine/ops/index.js';
import { ApolloError } from '../errors.js';
import type { Activation } from '../nn/layers.js';
import { renamedText } from '../renamed.js';
import type { ModelFamily, PresetSizes } from './family.js';
import { groupSizeOf } from './heads.js';
import { allFamilies, familyOf } from './registry.js';

/**
 * The configuration of a model, from {@link preset} or written out. A family may have more fields (docs/models.md).
 */
export interface ModelConfig {
  /** The model family: 'bert', 'gpt', 'llama', or one that was registered. */
  readonly kind: string;
  /** Final depth; a smaller number of trained layers is the training method's matter. */
  readonly layers: number;
  /** Width of the residual stream and of the embeddings, C. */
  readonly hidden: number;
  /** Query heads of each layer; hidden must be a multiple of it, also where `headSize` is given. */
  readonly heads: number;
  /** Width of the feed-forward part, usually 4 x hidden. */
  readonly ffn: number;
  /** Rows of the word table, V: one more than the largest token id, or more. */
  readonly vocabSize: number;
  /** Longest sequence; also the length at which FLOPs are quoted. */
  readonly maxPositions: number;
  /** Drop probability of embeddings and residual branches in training, in [0, 1). */
  readonly dropout: number;
  /** Drop probability of the attention probabilities in training, in [0, 1). */
  readonly attentionDropout: number;
  /** Epsilon of every norm. */
  readonly epsilon: number;
  /** Standard deviation of the initial weights. */
  readonly initStd: number;
  /** BERT, where it is required: number of token types. */
  readonly typeVocab?: number;
  /** BERT: the padding token, whose embedding starts as zeros. */
  readonly padTokenId?: number;
  /** Activation of the feed-forward part and of BERT's head. Default: 'gelu' for BERT, 'geluTanh' for GPT, 'silu' for Llama. */
  readonly activation?: Activation;
  /** Whether the head's output matrix is the word table. Default true; false: it is a parameter of its own, `head.output`. */
  readonly tied?: boolean;
  /** Llama: key/value heads where they are fewer than the query heads, of which each serves heads / keyValueHeads. */
  readonly keyValueHeads?: number;
  /** Llama: dimensions of each head where they are not hidden / heads. */
  readonly headSize?: number;
  /** Llama: base of the rotary position embeddings; default 10,000. */
  readonly ropeTheta?: number;
  /** Llama: how their frequencies are scaled for longer contexts; absent: not. */
  readonly ropeScaling?: RotaryScaling;
  /** Llama: linear layers of attention with biases; default 'none'. */
  readonly attentionBias?: 'none' | 'qkv' | 'all';
  /** Llama: whether queries and keys pass an RMS norm in each head; default false. */
  readonly queryKeyNorms?: boolean;
  /** Llama: whether the feed-forward part has biases; default false. */
  readonly ffnBias?: boolean;
  /** GPT: drop probability of the embeddings where it is not that of the residual branches. */
  readonly embeddingDropout?: number;
}

/** Widths of a network, where they are not those of the finished model. */
export type StageShape = Pick<ModelConfig, 'hidden' | 'heads' | 'ffn'>;

/**
 * The same model with other widths: heads keep their size, and as many query heads share a key/value head, of which
 * shape.heads is a multiple.
 */
export function withShape(config: ModelConfig, shape: StageShape): ModelConfig {
  return {
    ...config,
    ...shape,
    ...(config.keyValueHeads !== undefined && { keyValueHeads: shape.heads / groupSizeOf(config) }),
  };
}

/** Fields of all families that a configuration may leave out. */
const commonOptional = ['activation', 'tied'] as const;

/** Fields that `preset` and the command line may set for a model of this configuration. */
export function configurableFields(config: ModelConfig): string[] {
  const { kind, ...sizes } = config;
  return [...new Set([...Object.keys(sizes), ...commonOptional, ...Object.keys(familyOf(config).fields)])];
}

/** The activation of a model of this configuration. */
const activationOf = ({ kind, activation }: Pick<ModelConfig, 'kind' | 'activation'>): Activation =>
  activation ?? (familyOf({ kind }).activations[0] as Activation);

/**
 * The fields in which two models must be equal to be the same function of equal weights, regardless of their depth, with what is
 * left out filled in.
 */
export function structureOf(config: ModelConfig): Readonly<Record<string, unknown>> {
  const { kind, hidden, heads, ffn, vocabSize, maxPositions, epsilon } = config;
  const own = Object.entries(familyOf(config).fields).flatMap(([name, { structure }]) =>
    structure ? [[name, structure(config)]] : [],
  );
  return {
    kind,
    hidden,
    heads,
    ffn,
    vocabSize,
    maxPositions,
    ...Object.fromEntries(own),
    epsilon,
    activation: activationOf(config),
    tied: config.tied !== false,
  };
}

/** Fills in what a configuration leaves out: method.md's recipe (Hugging Face's defaults). */
export function withDefaults(given: PresetSizes & Pick<ModelConfig, 'kind'>): ModelConfig {
  const family = familyOf(given);
  const config = { initStd: 0.02, ...family.defaults(given), ...given };
  const filled = Object.entries(family.fields).flatMap(([name, { fill }]) =>
    fill && !(name in given) ? [[name, fill(config)]] : [],
  );
  return validateModelConfig({ ...config, ...Object.fromEntries(filled) });
}

/**
 * Returns `config` when a model can be built from it.
 * @throws ApolloError BAD_CONFIG naming the field, what it must be and what it is.
 */
export function validateModelConfig(config: ModelConfig): ModelConfig {
  const family = familyOf(config);
  for (const field of ['layers', 'hidden', 'heads', 'ffn', 'vocabSize', 'maxPositions'] as const) {
    const value = config[field];
    const now =
      value === undefined &&
      Object.keys(config)
        .map((key) => renamedText(key, [field]))
        .find(Boolean);
    if (now) throw new ApolloError('BAD_CONFIG', `model: ${now}.`);
    expect(
      Number.isSafeInteger(value) && value > 0,
      `${field} must be a positive whole number; got ${describe(value)}.`,
    );
  }
  expect(config.layers <= listedMost, `layers must be at most ${listedMost}; got ${describe(config.layers)}.`);
  family.check(config, expect);
  for (const field of ['dropout', 'attentionDropout'] as const) {
    const value = config[field];
    expect(value >= 0 && value < 1, `${field} must be at least 0 and below 1; got ${describe(value)}.`);
  }
  const { epsilon, initStd, activation, tied } = config;
  expect(epsilon > 0 && epsilon < 1, `epsilon must be between 0 and 1; got ${describe(epsilon)}.`);
  expect(initStd > 0 && Number.isFinite(initStd), `initStd must be positive; got ${describe(initStd)}.`);
  expect(
    activation === undefined || family.activations.includes(activation),
    `activation must be one of ${family.activations.join(', ')}; got ${describe(activation)}.`,
  );
  expect(tied === undefined || typeof tied === 'boolean', `tied must be true or false; got ${describe(tied)}.`);
  checkOwnFields(config, family);
  return config;
}

function expect(holds: boolean, message: string): void {
  if (!holds) throw new ApolloError('BAD_CONFIG', `model.${message}`);
}

/** The fields of the family, and none of another one. */
function checkOwnFields(config: ModelConfig, family: ModelFamily): void {
  const values = config as unknown as Readonly<Record<string, unknown>>;
  for (const [name, field] of Object.entries(family.fields)) {
    expect(
      field.holds(values[name], config),
      `${name} must be ${field.expected(config)} for ${family.title}; got ${describe(values[name])}.`,
    );
  }
  for (const other of allFamilies()) {
    const foreign = Object.keys(other.fields).find(
      (name) => values[name] !== undefined && !Object.hasOwn(family.fields, name),
    );
    expect(foreign === undefined, `${foreign} belongs to ${other.title}; leave it out for ${family.title}.`);
  }
}
