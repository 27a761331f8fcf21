/**
 * Loss of a language model on given text: GPT's loss of each token from windows that overlap, BERT's loss of masked
 * tokens as in training (a pseudo-loss: it is not the probability of the text).
 */

import {
  arraySource,
  heldOutMlmBatches,
  mlmIds,
  openingOf,
  type ReadOptions,
  type Tokenizer,
} from '../../data/index.js';
import { BlankDocuments } from '../../data/read/blank-documents.js';
import { readDocuments } from '../../data/read/documents.js';
import type { OnNote } from '../../data/read/files.js';
import { filesToRead } from '../../data/read/inputs.js';
import { continuation } from '../../data/tokenizer/continuation.js';
import { noEndOfText } from '../../data/tokenizer/end-of-text.js';
import type { Device } from '../../engine/device.js';
import { Graph } from '../../engine/graph.js';
import type { ParameterStore } from '../../engine/parameters.js';
import type { Program } from '../../engine/program.js';
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import {
  type BatchShape,
  familyOf,
  type LanguageModel,
  type ModelConfig,
  modelWeights,
  objectiveOf,
} from '../../models/index.js';
import { batchShape } from '../../train/index.js';

/** A model to be measured; LoadedModel of lib/train is one. */
export interface MeasuredModel {
  /** The model's structure and graphs. */
  readonly model: LanguageModel;
  /** Holds the weights, on the device that measures. */
  readonly store: ParameterStore;
  /** Entry i names the trained layer whose weights form layer i; its length is the depth that is measured. */
  readonly layerMap: readonly number[];
}

/** A text as token ids, from {@link readTokens}. */
export interface TextTokens {
  /**
   * Token ids of all documents one after the other; with several, each followed by the end of text or [SEP] where the
   * tokenizer has one.
   */
  readonly ids: Int32Array;
  /** Bytes of the text in UTF-8. */
  readonly bytes: number;
  /** Number of documents. */
  readonly documents: number;
  /** Warnings, one sentence each. */
  readonly warnings?: readonly string[];
}

/** How {@link readTokens} reads files. */
export interface TextReading extends ReadOptions {
  /** Ends the reading with ABORT_ERR. */
  readonly signal?: AbortSignal | undefined;
  /** Takes what the user should know of the text, one sentence each. */
  readonly onNote?: OnNote | undefined;
}

const takesReadTokens = is.takes('readTokens', {
  inputs: is.list(is.path),
  tokenizer: is.tokenizer,
  options: is.options({ signal: is.optional(is.signal), onNote: is.optional(is.func), ...is.readFields }),
});

/**
 * Tokens of files, folders or patterns, found and read as those of a corpus; records without text are counted in a note.
 * Each document starts with the token that the tokenizer puts before every text (Llama's `<|begin_of_text|>`); where there are
 * several, each ends with the tokenizer's end of text or [SEP], as in training; `warnings` says where it has neither.
 * @example
 * const text = await readTokens(['wiki.valid.txt'], tokenizer);
 * @throws ApolloError BAD_CORPUS for files that are missing or no text, BAD_CONFIG for options that do not go with them;
 * ABORT_ERR.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function readTokens(
  inputs: readonly string[],
  tokenizer: Tokenizer,
  options: TextReading = {},
): Promise<TextTokens> {
  takesReadTokens(inputs, tokenizer, options);
  const { signal, onNote, ...reading } = options;
  const skipped = new Map<string, number>();
  const onSkip = (reason: string): void => void skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  const continued = continuation(tokenizer.definition);
  const first = openingOf(tokenizer.definition);
  const opening = first === undefined ? [] : [Uint32Array.of(first)];
  const parts: Uint32Array[][] = [];
  let bytes = 0;
  let current: Uint32Array[] = [];
  for (const file of filesToRead(inputs, reading, onNote)) {
    const blank = new BlankDocuments(onSkip);
    for await (const piece of readDocuments(file, { signal, onSkip }, reading)) {
      if (!blank.keeps(piece)) continue;
      const { text, isLast } = piece;
      bytes += Buffer.byteLength(text);
      const isContinued = current.length > 0;
      if (!isContinued) current.push(...opening);
      current.push(tokenizer.encode(isContinued ? continued(text) : text));
      if (!isLast) continue;
      parts.push(current);
      current = [];
    }
  }
  if (skipped.size > 0)
    onNote?.(`Skipped records: ${[...skipped].map(([reason, count]) => `${count} with ${reason}`).join('; ')}.`);
  const separator = tokenizer.specials.eot ?? tokenizer.specials.sep;
  const ends = parts.length > 1 && separator !== undefined ? [Uint32Array.of(separator)] : [];
  const all = parts.flatMap((document) => [...document, ...ends]);
  const ids = new Int32Array(all.reduce((sum, { length }) => sum + length, 0));
  let place = 0;
  for (const part of all) {
    ids.set(part, place);
    place += part.length;
  }
  const unmarked = parts.length > 1 && separator === undefined;
  const warnings = unmarked ? [`${parts.length} documents are joined without a separator: ${noEndOfText}`] : [];
  return { ids, bytes, documents: parts.length, warnings };
}

/** What {@link textLoss} has measured. */
export interface TextLoss {
  /** Causal models: 'token'; BERT: 'masked token'. */
  readonly of: 'token' | 'masked token';
  /** Mean over the tokens that count, in nats. */
  readonly loss: number;
  /** exp(loss). */
  readonly perplexity: number;
  /** Tokens that count. */
  readonly tokens: number;
  /** Causal models: bits for each byte of the text, which can be compared between tokenizers. */
  readonly bitsPerByte?: number;
}

export interface TextLossOptions {
  readonly batch: number;
  /** Tokens of a window; at most the model's positions, its default. */
  readonly seq?: number | undefined;
  /** Causal models: tokens that each window after the first moves on and counts. Default: half a window. */
  readonly stride?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

const takesTextLoss = is.takes('textLoss', {
  device: is.device,
  measured: is.measuredModel,
  tokenizer: is.tokenizer,
  text: is.object('a text (from readTokens)', {
    ids: is.kind('an Int32Array', (value) => value instanceof Int32Array),
    bytes: is.number,
    documents: is.number,
  }),
  options: is.options({
    batch: is.count,
    seq: is.optional(is.number),
    stride: is.optional(is.number),
    signal: is.optional(is.signal),
    onProgress: is.optional(is.func),
  }),
});

/**
 * Loss and perplexity of a model on tokens.
 * @example
 * const text = await readTokens(['wiki.valid.txt'], tokenizer);
 * const { perplexity } = await textLoss(device, trained, tokenizer, text, { batch: 16 });
 * @throws ApolloError BAD_CONFIG for a window or stride that does not fit, BAD_CORPUS for too little text, BAD_TOKENIZER.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function textLoss(
  device: Device,
  measured: MeasuredModel,
  tokenizer: Tokenizer,
  text: TextTokens,
  options: TextLossOptions,
): Promise<TextLoss> {
  takesTextLoss(device, measured, tokenizer, text, options);

  const { config } = measured.model;
  const { batch } = options;
  const { seq, stride } = checkWindow(config, options);
  const objective = objectiveOf(config);
  const isCausal = objective === 'causal';
  const least = isCausal ? 2 : seq - 2;
  if (text.ids.length < least) {
    throw new ApolloError(
      'BAD_CORPUS',
      `The text has ${text.ids.length} tokens; at least ${least} are needed. Give more text${isCausal ? '' : ', or a smaller seq'}.`,
    );
  }
  const shape = batchShape({ batch, seq, objective });
  const batches = isCausal ? windows(text.ids, stride, shape) : masked(text, tokenizer, shape);
  const program = await lossProgram(device, measured, shape);
  let sum = 0;
  let tokens = 0;
  try {
    for (const [index, inputs] of batches.entries()) {
      const { outputs } = await program.run(inputs(), options.signal ? { signal: options.signal } : {});
      const count = outputs['count']?.[0] as number;
      if (count > 0) sum += (outputs['loss']?.[0] as number) * count;
      tokens += count;
      options.onProgress?.((index + 1) / batches.length);
    }
  } finally {
    program.dispose();
  }
  const loss = sum / tokens;
  const result = { loss, perplexity: Math.exp(loss), tokens };
  if (!isCausal) return { of: 'masked token', ...result };
  return { of: 'token', ...result, bitsPerByte: sum / Math.LN2 / text.bytes };
}

const takesCheckWindow = is.takes('checkWindow', {
  config: is.object('a model configuration', { kind: is.string, maxPositions: is.count }),
  options: is.object('{ seq, stride }', { seq: is.optional(is.number), stride: is.optional(is.number) }),
});

/**
 * The windows that a model reads text in.
 * @throws ApolloError BAD_CONFIG for a length or stride that is invalid for any text.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function checkWindow(
  config: ModelConfig,
  options: Pick<TextLossOptions, 'seq' | 'stride'>,
): { readonly seq: number; readonly stride: number } {
  takesCheckWindow(config, options);
  const { maxPositions } = config;
  const { seq = maxPositions, stride = Math.ceil(seq / 2) } = options;
  const isCausal = objectiveOf(config) === 'causal';
  if (!Number.isInteger(seq) || seq < 4 || seq > maxPositions) {
    throw new ApolloError(
      'BAD_CONFIG',
      `seq must be a whole number from 4 to the model's ${maxPositions} positions; got ${seq}.`,
    );
  }
  if (isCausal) checkStride(stride, seq);
  else if (options.stride !== undefined) {
    throw new ApolloError(
      'BAD_CONFIG',
      `stride is for causal models (GPT, Llama), whose windows overlap; this model is a ${familyOf(config).title}. Remove it.`,
    );
  }
  return { seq, stride };
}

function checkStride(stride: number, seq: number): void {
  if (Number.isInteger(stride) && stride >= 1 && stride < seq) return;
  throw new ApolloError('BAD_CONFIG', `stride must be a whole number from 1 to seq - 1 (${seq - 1}); got ${stride}.`);
}

type Inputs = Readonly<Record<string, Int32Array>>;

/**
 * Windows of `seq` tokens that start every `stride` tokens. Each token but the first counts once: in the first window
 * that holds it. Behind the text's end windows are filled with zeros, which a causal model does not see.
 */
export function windows(
  ids: Int32Array,
  stride: number,
  { batch, seq }: Pick<BatchShape, 'batch' | 'seq'>,
): (() => Inputs)[] {
  checkStride(stride, seq);
  const starts: { readonly begin: number; readonly counted: number }[] = [];
  let counted = 1; // tokens before this one are counted already
  for (let begin = 0; counted < ids.length; begin += stride) {
    starts.push({ begin, counted });
    counted = begin + seq;
  }
  return Array.from({ length: Math.ceil(starts.length / batch) }, (_, index) => () => {
    const tokens = new Int32Array(batch * seq);
    const labels = new Int32Array(batch * seq).fill(-100);
    starts.slice(index * batch, (index + 1) * batch).forEach(({ begin, counted: from }, row) => {
      tokens.set(ids.subarray(begin, begin + seq), row * seq);
      const end = Math.min(begin + seq, ids.length);
      for (let place = from; place < end; place++) labels[row * seq + place - 1 - begin] = ids[place] as number;
    });
    return { tokens, labels };
  });
}

/** Masks are the same in every call. */
function masked({ ids }: TextTokens, tokenizer: Tokenizer, shape: BatchShape): (() => Inputs)[] {
  const rules = mlmIds(tokenizer);
  const { batch, seq, targets = 0 } = shape;
  const source = arraySource(ids, tokenizer.vocabSize);
  return heldOutMlmBatches(source, { ...rules, batch, seq, seed: 0, targets }).map((rows) => () => ({ ...rows }));
}

async function lossProgram(
  device: Device,
  { model, store, layerMap }: MeasuredModel,
  shape: BatchShape,
): Promise<Program> {
  const graph = new Graph();
  const weights = modelWeights(graph, model, store.precision);
  const { loss, count } = model.trace(graph, weights, shape, { layerMap, training: false });
  graph.output('loss', loss);
  graph.output('count', count);
  return device.compile(graph, { store });
}
