/**
 * LAMBADA (Paperno et al. 2016): can a GPT guess the last word of a passage, which needs the whole of it? A word counts
 * when every one of its tokens is the most likely one, which is what greedy decoding would write.
 */

import { continuation, openingOf, type ReadOptions, type Tokenizer } from '../../data/index.js';
import { readDocuments } from '../../data/read/documents.js';
import type { CorpusFile } from '../../data/read/files.js';
import { filesToRead } from '../../data/read/inputs.js';
import type { Device } from '../../engine/device.js';
import { Graph } from '../../engine/graph.js';
import { argmax, gatherRows, ignoredLabel } from '../../engine/ops/index.js';
import type { Program } from '../../engine/program.js';
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import { familyOf, type ModelConfig, modelWeights, outputMatrix } from '../../models/index.js';
import { flatten, tiedLogits, tiedLoss } from '../../nn/heads.js';
import { bucketOf, buckets } from '../finetune/batches.js';
import type { MeasuredModel } from './text-loss.js';

const takesReadPassages = is.takes('readPassages', { path: is.path, options: is.readOptions });

/**
 * The passages of a file: the records of JSON lines, CSV, TSV or Parquet, or one passage a line of text; its format and
 * packing are known as those of a corpus.
 * @example
 * const texts = await readPassages('lambada_test.jsonl');
 * @throws ApolloError BAD_CORPUS naming file and line or record; BAD_CONFIG for options that do not go with the format.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function readPassages(path: string, options: ReadOptions = {}): Promise<string[]> {
  takesReadPassages(path, options);

  const passages: string[] = [];
  for (const file of filesToRead([path], options)) passages.push(...(await passagesOf(file, options)));
  if (passages.length === 0) throw new ApolloError('BAD_CORPUS', `${path} holds no passages.`);
  return passages;
}

async function passagesOf(file: CorpusFile, options: ReadOptions): Promise<string[]> {
  const isText = ['auto', 'text'].includes(file.format);
  const word = isText ? 'line' : 'record';
  const bad = (number: number, what: string): ApolloError =>
    new ApolloError('BAD_CORPUS', `${file.path}, ${word} ${number}: expected a passage of at least two words${what}.`);
  const documents: string[] = [];
  const skipped = (reason: string): never => {
    throw bad(documents.length + 1, `; it has ${reason}`);
  };
  let text = '';
  // One passage per line, for any start of the text.
  const read = isText ? { ...file, format: 'text' } : file;
  for await (const piece of readDocuments(read, { onSkip: skipped }, options)) {
    text += piece.text;
    if (!piece.isLast) continue;
    documents.push(text);
    text = '';
  }
  const all = isText ? documents.flatMap((document) => document.split('\n')) : documents;
  return all.flatMap((each, index) => {
    const passage = each.trim();
    if (isText && passage === '') return [];
    if (hasTwoWords(passage)) return [passage];
    throw bad(index + 1, '');
  });
}

/** Whether a text without white space around it has a last word and something before it. */
const hasTwoWords = (text: string): boolean => /\S\s+\S+$/.test(text);

/** What {@link lambada} has measured. */
export interface LambadaResult {
  /** Share of passages whose last word was guessed. */
  readonly accuracy: number;
  /** exp of the mean loss of a whole last word. */
  readonly perplexity: number;
  /** Number of measured passages. */
  readonly passages: number;
}

export interface LambadaOptions {
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

interface Passage {
  readonly tokens: readonly number[];
  /** Tokens of the last word. */
  readonly word: number;
}

/** Context and last word (with the space before it) as tokens; a passage that is too long loses its start. */
function passageOf(given: string, tokenizer: Tokenizer, maxPositions: number): Passage {
  const text = given.trim();
  if (!hasTwoWords(text)) {
    throw new ApolloError(
      'BAD_CORPUS',
      `lambada: expected passages of at least two words; got ${JSON.stringify(given)}.`,
    );
  }
  const at = text.search(/\s+\S+$/);
  const context = tokenizer.encode(text.slice(0, at));
  const word = tokenizer.encode(continuation(tokenizer.definition)(` ${text.slice(at).trim()}`));
  if (word.length === 0 || context.length === 0 || word.length >= maxPositions) {
    throw new ApolloError(
      'BAD_TOKENIZER',
      `The passage "${text.slice(0, 40)}…" has ${context.length} tokens before its last word and ${word.length} in it; at least one each is needed.`,
    );
  }
  const opening = openingOf(tokenizer.definition);
  const start = opening === undefined ? [] : [opening];
  return { tokens: [...start, ...context, ...word].slice(-maxPositions), word: word.length };
}

const takesCheckLambada = is.takes('checkLambada', {
  config: is.object('a model configuration', { kind: is.string }),
});

/**
 * @throws ApolloError BAD_CONFIG for a model that is not causal.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function checkLambada(config: Pick<ModelConfig, 'kind'>): void {
  takesCheckLambada(config);
  const { objective, title } = familyOf(config);
  if (objective === 'causal') return;
  throw new ApolloError(
    'BAD_CONFIG',
    `LAMBADA requires a prediction of the next word, which only a causal model (GPT, Llama) makes; this model is a ${title}.`,
  );
}

const takesLambada = is.takes('lambada', {
  device: is.device,
  measured: is.measuredModel,
  tokenizer: is.tokenizer,
  texts: is.list(is.string),
  options: is.options({ batch: is.count, signal: is.optional(is.signal), onProgress: is.optional(is.func) }),
});

/**
 * Accuracy and perplexity on passages.
 * @example
 * const { accuracy, perplexity } = await lambada(device, trained, tokenizer, await readPassages('lambada_test.jsonl'), { batch: 16 });
 * @throws ApolloError BAD_CONFIG for a model that is not causal; BAD_CORPUS without passages, or for one of less than two
 * words; ABORT_ERR.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function lambada(
  device: Device,
  measured: MeasuredModel,
  tokenizer: Tokenizer,
  texts: readonly string[],
  options: LambadaOptions,
): Promise<LambadaResult> {
  takesLambada(device, measured, tokenizer, texts, options);
  const { batch, signal, onProgress } = options;
  const { config } = measured.model;
  checkLambada(config);
  if (texts.length === 0) throw new ApolloError('BAD_CORPUS', 'lambada: expected at least one passage; got none.');
  const passages = texts.map((text) => passageOf(text, tokenizer, config.maxPositions));
  passages.sort((a, b) => a.tokens.length - b.tokens.length);
  const width = Math.max(...passages.map(({ word }) => word));
  const all = buckets(config.maxPositions);
  const programs = new Map<number, Promise<Program>>();
  let hits = 0;
  let sum = 0;
  try {
    for (let start = 0; start < passages.length; start += batch) {
      const rows = passages.slice(start, start + batch);
      const seq = bucketOf(rows, all);
      const known = programs.get(seq) ?? lastWordProgram(device, measured, { batch, seq, width });
      programs.set(seq, known);
      const { outputs } = await (await known).run(inputsOf(rows, { batch, seq, width }), signal ? { signal } : {});
      sum += (outputs['loss']?.[0] as number) * (outputs['count']?.[0] as number);
      const guesses = outputs['guesses'] as Int32Array;
      hits += rows.filter(({ tokens, word }, row) =>
        tokens.slice(-word).every((token, i) => guesses[row * width + i] === token),
      ).length;
      onProgress?.(Math.min(1, (start + batch) / passages.length));
    }
  } finally {
    for (const program of programs.values()) program.then((each) => each.dispose()).catch(() => undefined);
  }
  return {
    accuracy: hits / passages.length,
    perplexity: Math.exp(sum / passages.length),
    passages: passages.length,
  };
}

interface Size {
  readonly batch: number;
  readonly seq: number;
  /** Places for the tokens of a last word. */
  readonly width: number;
}

function inputsOf(rows: readonly Passage[], { batch, seq, width }: Size) {
  const tokens = new Int32Array(batch * seq);
  const positions = new Int32Array(batch * width);
  const labels = new Int32Array(batch * width).fill(ignoredLabel);
  rows.forEach((passage, row) => {
    tokens.set(passage.tokens, row * seq);
    for (let i = 0; i < passage.word; i++) {
      const place = passage.tokens.length - passage.word + i;
      positions[row * width + i] = row * seq + place - 1; // the position before a token predicts it
      labels[row * width + i] = passage.tokens[place] as number;
    }
  });
  return { tokens, positions, labels };
}

/** Outputs: `guesses` i32[B * width], the most likely token at each position; `loss` (mean) and `count` of the labels. */
async function lastWordProgram(
  device: Device,
  { model, store, layerMap }: MeasuredModel,
  { batch, seq, width }: Size,
): Promise<Program> {
  const graph = new Graph();
  const weights = modelWeights(graph, model, store.precision);
  const shape = { batch, seq, padding: false };
  const body = model.body.trace(graph, weights, shape, { layerMap, training: false });
  const rows = gatherRows(flatten(body.hidden), graph.input('positions', [batch * width], 'i32'));
  const table = outputMatrix(model.config, weights);
  const { loss, count } = tiedLoss(rows, table, graph.input('labels', [batch * width], 'i32'));
  graph.output('loss', loss);
  graph.output('count', count);
  graph.output('guesses', argmax(tiedLogits(rows, table)));
  return device.compile(graph, { store });
}
