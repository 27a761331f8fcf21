/**
 * Runs a GPT token by token: one program reads the start of all sequences in one run, another one more token of
 * each. Keys and values of earlier tokens stay on the device.
 */
import { Graph, type Program, type RunOptions, StateStore } from '../../engine/index.js';
import { check } from '../../errors.js';
import * as is from '../../is.js';
import { type DecodingOptions, familyOf, modelWeights } from '../../models/index.js';
import type { TrainedModel } from '../trained.js';

/** Options of {@link Decoder}. */
export interface DecoderOptions {
  /** Sequences side by side. Default 1. */
  readonly batch?: number;
  /** Positions that are kept for each; default: the model's. */
  readonly length?: number;
}

/** The start of a sequence is padded to a power of two, at least this long, so that few programs serve all. */
const shortest = 16;

/** Token ids as the program takes them, which checks their range. @throws ApolloError BAD_ARGUMENT for what is no whole number. */
function ids(call: string, tokens: ArrayLike<number>): Int32Array {
  const given = Array.from(tokens);
  const wrong = given.find((token) => !is32Bit(token));
  check(wrong === undefined, `${call}: token ids must be whole numbers from 0 on; got ${wrong}.`);
  return Int32Array.from(given);
}

const is32Bit = (value: number) => (value | 0) === value;

const takesDecoderNext = is.takes('Decoder.next', { tokens: is.numericArray, options: is.runOptions });

const takesDecoderBegin = is.takes('Decoder.begin', { sequences: is.list(is.numericArray), options: is.runOptions });

const takesNewDecoder = is.takes('new Decoder', {
  trained: is.measuredModel,
  options: is.options({ batch: is.optional(is.number), length: is.optional(is.number) }),
});

/**
 * Decodes several sequences side by side with caches of keys and values: `begin` reads their beginnings, `next` one
 * token of each.
 * ```ts
 * const decoder = new Decoder(trained);
 * let logits = await decoder.begin([[464, 2068]]);           // f32 [V]: logits of the next token
 * logits = await decoder.next([logits.indexOf(Math.max(...logits))]);
 * ```
 */
export class Decoder {
  /** Number of sequences side by side. */
  readonly batch: number;
  /** Positions that are kept for each sequence: `next` is refused when all are taken. */
  readonly length: number;
  readonly #trained: TrainedModel;
  readonly #states: StateStore;
  readonly #programs = new Map<string, Promise<Program>>();
  #position = 0;
  /** The call before: positions follow each other, so calls take turns. */
  #last: Promise<unknown> = Promise.resolve();

  /** @throws ApolloError BAD_ARGUMENT for a BERT, a batch or a length that cannot be. */
  constructor(trained: TrainedModel, options: DecoderOptions = {}) {
    takesNewDecoder(trained, options);
    const { batch = 1, length = trained.model.config.maxPositions } = options;
    const { maxPositions } = trained.model.config;
    const { objective, title } = familyOf(trained.model.config);
    check(
      objective === 'causal',
      `Only a causal model (GPT, Llama) generates text; this model is a ${title}, which fills in masked words.`,
    );
    check(Number.isInteger(batch) && batch > 0, `batch must be a positive whole number; got ${batch}.`);
    check(
      Number.isInteger(length) && length > 0 && length <= maxPositions,
      `length must be a whole number from 1 to ${maxPositions} (the model's positions); got ${length}.`,
    );
    this.batch = batch;
    this.length = length;
    this.#trained = trained;
    this.#states = new StateStore(trained.store.device);
  }

  /** Tokens that each sequence has so far. */
  get position(): number {
    return this.#position;
  }

  /** Bytes of the keys and values. */
  get bytes(): number {
    return this.#states.bytes;
  }

  /**
   * Discards the earlier state and reads the first tokens, equally many for each sequence; a single sequence is the start of all.
   * @returns logits of the next token, f32 [sequences given, V].
   * @throws ApolloError BAD_ARGUMENT for other numbers of sequences, no tokens or more than `length`; ABORT_ERR.
   */
  async begin(sequences: readonly ArrayLike<number>[], options: RunOptions = {}): Promise<Float32Array> {
    takesDecoderBegin(sequences, options);
    return this.#inTurn(() => this.#begin(sequences, options));
  }

  async #begin(sequences: readonly ArrayLike<number>[], options: RunOptions): Promise<Float32Array> {
    const rows = sequences.length;
    const count = sequences[0]?.length ?? 0;
    check(rows === 1 || rows === this.batch, `begin takes 1 or ${this.batch} sequences; got ${rows}.`);
    check(
      count > 0 && sequences.every(({ length }) => length === count),
      'begin takes sequences of equal length, at least one token.',
    );
    check(count <= this.length, `${count} tokens are more than the ${this.length} positions of this decoder.`);
    let seq = shortest;
    while (seq < count) seq *= 2;
    seq = Math.min(seq, this.length);
    const tokens = new Int32Array(rows * seq);
    for (const [row, sequence] of sequences.entries()) tokens.set(ids('begin', sequence), row * seq);
    const program = await this.#program(rows, seq, true);
    const { outputs } = await program.run(
      {
        tokens,
        positions: Int32Array.from(tokens, (_, i) => i % seq),
        rows: Int32Array.from(sequences, (_, row) => row * seq + count - 1),
      },
      options,
    );
    this.#position = count;
    return outputs['logits'] as Float32Array;
  }

  /**
   * One more token of each sequence.
   * @returns logits of the token after it, f32 [batch, V].
   * @throws ApolloError BAD_ARGUMENT for another number of tokens, before `begin` or with no position left; ABORT_ERR.
   */
  async next(tokens: ArrayLike<number>, options: RunOptions = {}): Promise<Float32Array> {
    takesDecoderNext(tokens, options);
    return this.#inTurn(() => this.#next(tokens, options));
  }

  async #next(tokens: ArrayLike<number>, options: RunOptions): Promise<Float32Array> {
    check(
      tokens.length === this.batch,
      `next takes one token of each of ${this.batch} sequences; got ${tokens.length}.`,
    );
    check(this.#position > 0, 'next continues after begin; call begin first.');
    check(
      this.#position < this.length,
      `all ${this.length} positions are in use; call begin() again, with later tokens.`,
    );
    const program = await this.#program(this.batch, 1, false);
    const positions = new Int32Array(this.batch).fill(this.#position);
    const { outputs } = await program.run({ tokens: ids('next', tokens), positions }, options);
    this.#position++;
    return outputs['logits'] as Float32Array;
  }

  /** Runs `work` when the calls before are settled. */
  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Frees programs, keys and values. */
  dispose(): void {
    for (const program of this.#programs.values()) {
      program.then(
        (made) => made.dispose(),
        () => undefined,
      );
    }
    this.#programs.clear();
    this.#states.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #program(rows: number, seq: number, first: boolean): Promise<Program> {
    const key = `${rows} ${seq} ${first}`;
    const known = this.#programs.get(key);
    if (known) return known;
    const program = this.#compile(rows, seq, { batch: this.batch, length: this.length, first });
    this.#programs.set(key, program);
    program.catch(() => this.#programs.delete(key));
    return program;
  }

  #compile(rows: number, seq: number, decoding: DecodingOptions): Promise<Program> {
    const { model, store, layerMap } = this.#trained;
    const graph = new Graph();
    const weights = modelWeights(graph, model, store.precision);
    const shape = { batch: rows, seq, ...(decoding.first && { targets: rows }) };
    graph.output('logits', model.predict(graph, weights, shape, { layerMap, decoding }));
    return store.device.compile(graph, { store, states: this.#states });
  }
}
