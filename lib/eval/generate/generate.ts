/** Text that a causal model continues: token by token, one or several samples of it at once. */

import { beginOf, type Tokenizer } from '../../data/index.js';
import { ApolloError, check } from '../../errors.js';
import * as is from '../../is.js';
import { uniform } from '../../random/philox.js';
import { uniformStreams } from '../../random/streams.js';
import type { TrainedModel } from '../trained.js';
import { Decoder } from './decoder.js';
import { candidates, checkSampling, draw, likeliest, type SamplingOptions } from './sampling.js';
import { type TextStream, textStream } from './text-stream.js';

/** Options of {@link generate}. */
export interface GenerateOptions extends SamplingOptions {
  /** Tokens after the prompt, at most. Default 128. */
  readonly maxTokens?: number;
  /** Always take the most likely token, as with temperature 0; temperature, topK and topP are then ignored. Default false. */
  readonly greedy?: boolean;
  /** A sample ends before the first of these strings, also where it spans several tokens. */
  readonly stop?: readonly string[];
  /** A sample ends with this token, or one of these. Default: the ends of text of the model; null: none. */
  readonly eos?: number | readonly number[] | null;
  /** The same seed gives the same text on the same device, build and number of threads. Default 0. */
  readonly seed?: number;
  /** Texts side by side, each with random numbers of its own. Default 1. */
  readonly samples?: number;
  /** Ends the generation with ABORT_ERR. */
  readonly signal?: AbortSignal | undefined;
}

/** One token of one sample. */
export interface GeneratedToken {
  /** Which sample, from 0. */
  readonly sample: number;
  /** Id of the token; the end-of-text token is reported too, with `finish: 'eos'`. */
  readonly token: number;
  /**
   * Text that can be shown now: it may be empty while a character or a possible stop string is incomplete, and without a
   * tokenizer. The pieces of a sample joined are its text, the prompt not included: it starts with the blank that separates
   * the two, if there is one.
   */
  readonly text: string;
  /** Why the sample ends with this token; the last one of each sample has it. */
  readonly finish?: 'eos' | 'stop' | 'length';
}

const takesGenerate = is.takes('generate', {
  trained: is.trainedModel,
  prompt: is.either(is.string, is.numericArray),
  options: is.options({
    maxTokens: is.optional(is.number),
    greedy: is.optional(is.boolean),
    stop: is.optional(is.list(is.string)),
    eos: is.optional(
      is.kind(
        'a token id, an array of them, or null',
        (value) =>
          value === null ||
          typeof value === 'number' ||
          (Array.isArray(value) && value.every((id) => typeof id === 'number')),
      ),
    ),
    seed: is.optional(is.integer),
    samples: is.optional(is.number),
    signal: is.optional(is.signal),
    ...is.samplingFields,
  }),
});

/**
 * Continues `prompt`, a text or token ids. One run of the model reads the prompt; then each token is one more. A
 * text that outgrows the model's positions continues from its last half, which is read again as a new prompt.
 * ```ts
 * for await (const { text } of generate(await loadModel(device, 'runs/train'), 'The ', { topP: 0.9 })) {
 *   process.stdout.write(text);
 * }
 * ```
 * @throws ApolloError BAD_ARGUMENT (a setting, a BERT, a prompt that is empty or longer than the model's positions, a
 * text without a tokenizer), NON_FINITE, OUT_OF_MEMORY, ABORT_ERR.
 */
export function generate(
  trained: TrainedModel,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken, void, undefined> {
  takesGenerate(trained, prompt, options);
  return generatedTokens(trained, prompt, options);
}

async function* generatedTokens(
  trained: TrainedModel,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken, void, undefined> {
  const { maxTokens = 128, greedy = false, stop = [], seed = 0, samples = 1, signal } = options;
  const sampling = checkSampling(options);
  const { model, tokenizer } = trained;
  const { vocabSize, maxPositions } = model.config;
  const ends = options.eos === undefined ? (trained.ends ?? tokenizer?.specials.eot ?? []) : (options.eos ?? []);
  const eos = new Set([ends].flat());
  check(Number.isInteger(maxTokens) && maxTokens > 0, `maxTokens must be a positive whole number; got ${maxTokens}.`);
  check(Number.isInteger(samples) && samples > 0, `samples must be a positive whole number; got ${samples}.`);
  check(
    stop.every((text) => text !== '') && (stop.length === 0 || tokenizer !== undefined),
    'stop takes texts that are not empty, and needs the tokenizer of the model.',
  );
  const tokens = promptTokens(trained, prompt);

  using decoder = new Decoder(trained, {
    batch: samples,
    length: Math.min(maxPositions, tokens.length + maxTokens),
  });
  const texts = Array.from(
    { length: samples },
    () => new Sample(tokens, tokenizer && textStream(tokenizer, stop, tokens)),
  );
  const run = signal ? { signal } : {};
  const choose = (logits: Float32Array, sample: number, step: number): number => {
    const seen = texts[sample]!.seen;
    if (greedy) return likeliest(logits, sampling.repetitionPenalty, seen);
    return draw(candidates(logits, sampling, seen), uniform(seed, uniformStreams.sampling + sample, step));
  };

  let logits = await decoder.begin([tokens], run);
  for (let step = 0; step < maxTokens; step++) {
    for (const [sample, text] of texts.entries()) {
      if (text.finished) {
        text.stay();
        continue;
      }
      const row = logits.length === vocabSize ? 0 : sample;
      const token = choose(logits.subarray(row * vocabSize, (row + 1) * vocabSize), sample, step);
      yield { sample, token, ...text.push(token, eos.has(token), step + 1 === maxTokens) };
    }
    if (step + 1 === maxTokens || texts.every(({ finished }) => finished)) return;
    logits = decoder.position < decoder.length ? await next(decoder, texts, run) : await again(decoder, texts, run);
  }
}

/** One more token of each sample; of a finished one its last token again, since the rows of a batch have one length. */
const next = (decoder: Decoder, texts: readonly Sample[], run: { signal?: AbortSignal }) =>
  decoder.next(
    texts.map(({ tokens }) => tokens.at(-1)!),
    run,
  );

/** All positions are taken: the last half of each sample becomes its new start. */
const again = (decoder: Decoder, texts: readonly Sample[], run: { signal?: AbortSignal }) => {
  const kept = Math.max(1, decoder.length >> 1);
  return decoder.begin(
    texts.map(({ tokens }) => tokens.slice(-kept)),
    run,
  );
};

/** One text that grows. */
class Sample {
  readonly tokens: number[];
  /** Each token that was there once. */
  readonly seen: Set<number>;
  finished = false;

  constructor(
    prompt: ArrayLike<number>,
    private readonly stream: TextStream | undefined,
  ) {
    this.tokens = Array.from(prompt);
    this.seen = new Set(this.tokens);
  }

  /** Adds the last token once more: a finished text stays as long as the others, whose rows it shares. */
  stay(): void {
    this.tokens.push(this.tokens.at(-1)!);
  }

  push(token: number, isEos: boolean, isLast: boolean): Pick<GeneratedToken, 'text' | 'finish'> {
    this.tokens.push(token);
    this.seen.add(token);
    const piece = isEos || !this.stream ? { text: '', stopped: false } : this.stream.push(token);
    const finish = isEos ? 'eos' : piece.stopped ? 'stop' : isLast ? 'length' : undefined;
    if (!finish) return { text: piece.text };
    this.finished = true;
    const rest = piece.stopped ? '' : (this.stream?.end() ?? '');
    return { text: piece.text + rest, finish };
  }
}

/** The tokens of a prompt behind the one that its tokenizer puts before a text, as Python's; of an empty one the end of a text. */
function framedPrompt(tokenizer: Tokenizer, prompt: string): Int32Array {
  const ids = tokenizer.encode(prompt);
  const begin = beginOf(tokenizer.definition);
  if (begin !== undefined) return Int32Array.of(begin, ...ids);
  const { eot } = tokenizer.specials;
  return ids.length === 0 && eot !== undefined ? Int32Array.of(eot) : Int32Array.from(ids);
}

/** @throws ApolloError BAD_ARGUMENT when the prompt has no tokens, or more than the model has positions. */
function promptTokens({ model, tokenizer }: TrainedModel, prompt: string | ArrayLike<number>): Int32Array {
  const { vocabSize, maxPositions } = model.config;
  let tokens: Int32Array;
  if (typeof prompt === 'string') {
    check(tokenizer, 'This model has no tokenizer: give the prompt as token ids.');
    tokens = framedPrompt(tokenizer, prompt);
  } else {
    tokens = Int32Array.from(prompt);
    for (const [i, id] of tokens.entries()) {
      if (id !== prompt[i] || id < 0 || id >= vocabSize) {
        throw new ApolloError(
          'BAD_ARGUMENT',
          `prompt[${i}] must be a token id from 0 to ${vocabSize - 1}; got ${prompt[i]}.`,
        );
      }
    }
  }
  check(
    tokens.length > 0,
    'The prompt is empty, and the tokenizer has no token for the start of a text. Give a prompt.',
  );
  check(
    tokens.length <= maxPositions,
    `The prompt has ${tokens.length} tokens and the model ${maxPositions} positions. Shorten the prompt.`,
  );
  return tokens;
}
