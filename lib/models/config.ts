/** The configuration of a model and its validation. */
import { describe } from '../arguments.js';
import { ApolloError } from '../errors.js';
import type { Activation } from '../nn/layers.js';

export interface ModelConfig {
  readonly kind: 'bert' | 'gpt';
  /** Final depth; a smaller number of trained layers (units) is the training method's matter. */
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  /** Width of the feed-forward part, usually 4 x hidden. */
  readonly ffn: number;
  readonly vocab: number;
  /** Longest sequence; also the length at which FLOPs are quoted. */
  readonly maxPositions: number;
  /** Drop probabilities of embeddings and residual branches, and of attention probabilities. */
  readonly dropout: number;
  readonly attentionDropout: number;
  /** Of every layer norm. */
  readonly epsilon: number;
  /** Standard deviation of the initial weights. */
  readonly initStd: number;
  /** BERT, where it is required: number of token types. */
  readonly typeVocab?: number;
  /** BERT: the padding token, whose embedding starts as zeros. */
  readonly padTokenId?: number;
  /** Of the feed-forward part and of BERT's head. Default: 'gelu' for BERT, 'geluTanh' for GPT. */
  readonly activation?: Activation;
  /** Whether the head's output matrix is the word table. Default true; false: it is a parameter of its own, `head.output`. */
  readonly tied?: boolean;
  /** GPT: drop probability of the embeddings where it is not that of the residual branches. */
  readonly embeddingDropout?: number;
}

/** Fields that a configuration has only where its model differs from BERT and GPT-2 as published. */
export const optionalFields = ['activation', 'tied', 'embeddingDropout'] as const;

const activations: readonly Activation[] = ['gelu', 'geluTanh', 'relu', 'silu'];

/** The activation of a model of this configuration. */
export const activationOf = ({ kind, activation }: Pick<ModelConfig, 'kind' | 'activation'>): Activation =>
  activation ?? (kind === 'bert' ? 'gelu' : 'geluTanh');

/** The fields in which two models must be equal to be the same function of equal weights, with what is left out filled in. */
export function structureOf<Config extends ModelConfig>(config: Config) {
  return { ...config, activation: activationOf(config), tied: config.tied !== false };
}

/** What a configuration may leave out: method.md's recipe (Hugging Face's defaults). */
export function withDefaults(
  config: Pick<ModelConfig, 'kind' | 'layers' | 'hidden' | 'vocab' | 'maxPositions'> & Partial<ModelConfig>,
): ModelConfig {
  const common = {
    heads: Math.max(1, Math.round(config.hidden / 64)),
    ffn: 4 * config.hidden,
    dropout: 0.1,
    attentionDropout: 0.1,
    epsilon: config.kind === 'bert' ? 1e-12 : 1e-5,
    initStd: 0.02,
  };
  return validateModelConfig(
    config.kind === 'bert' ? { ...common, typeVocab: 2, padTokenId: 0, ...config } : { ...common, ...config },
  );
}

/**
 * Returns `config` when a model can be built from it.
 * @throws ApolloError BAD_CONFIG naming the field, what it must be and what it is.
 */
export function validateModelConfig(config: ModelConfig): ModelConfig {
  const expect = (holds: boolean, message: string): void => {
    if (!holds) throw new ApolloError('BAD_CONFIG', `model.${message}`);
  };
  expect(
    config.kind === 'bert' || config.kind === 'gpt',
    `kind must be "bert" or "gpt"; got ${describe(config.kind)}.`,
  );
  for (const field of ['layers', 'hidden', 'heads', 'ffn', 'vocab', 'maxPositions'] as const) {
    const value = config[field];
    expect(
      Number.isSafeInteger(value) && value > 0,
      `${field} must be a positive whole number; got ${describe(value)}.`,
    );
  }
  const { hidden, heads } = config;
  let near = Math.min(heads, hidden);
  while (hidden % near !== 0) near--;
  expect(
    hidden % heads === 0,
    `heads must divide hidden (${hidden}); got ${heads}. Use ${near} heads, or another hidden.`,
  );
  for (const field of ['dropout', 'attentionDropout'] as const) {
    const value = config[field];
    expect(value >= 0 && value < 1, `${field} must be at least 0 and below 1; got ${describe(value)}.`);
  }
  expect(config.epsilon > 0 && config.epsilon < 1, `epsilon must be between 0 and 1; got ${describe(config.epsilon)}.`);
  expect(
    config.initStd > 0 && Number.isFinite(config.initStd),
    `initStd must be positive; got ${describe(config.initStd)}.`,
  );
  const { kind, typeVocab, padTokenId, vocab, activation, tied, embeddingDropout } = config;
  expect(
    activation === undefined || activations.includes(activation),
    `activation must be one of ${activations.join(', ')}; got ${describe(activation)}.`,
  );
  expect(tied === undefined || typeof tied === 'boolean', `tied must be true or false; got ${describe(tied)}.`);
  expect(
    embeddingDropout === undefined || (kind === 'gpt' && embeddingDropout >= 0 && embeddingDropout < 1),
    kind === 'gpt'
      ? `embeddingDropout must be at least 0 and below 1; got ${describe(embeddingDropout)}.`
      : 'embeddingDropout belongs to GPT; BERT has one dropout for embeddings and residual branches.',
  );
  if (kind === 'gpt') {
    expect(
      typeVocab === undefined && padTokenId === undefined,
      'typeVocab and padTokenId belong to BERT; leave them out for GPT.',
    );
    return config;
  }
  expect(
    typeVocab !== undefined && Number.isSafeInteger(typeVocab) && typeVocab > 0,
    `typeVocab must be a positive whole number for BERT (usually 2); got ${describe(typeVocab)}.`,
  );
  expect(
    padTokenId === undefined || (Number.isSafeInteger(padTokenId) && padTokenId >= 0 && padTokenId < vocab),
    `padTokenId must be a token of the vocabulary (0 to ${vocab - 1}) or left out; got ${describe(padTokenId)}.`,
  );
  return config;
}
