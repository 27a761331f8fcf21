/** The corpus of the settings: what `prepare` makes, and what `train` and `compare` then find in the cache. */
import { resolve } from 'node:path';
import {
  type Corpus,
  type CorpusProgress,
  formatNames,
  passes,
  prepareCorpus,
  type ReadOptions,
} from '../data/index.js';
import { ApolloError } from '../errors.js';
import { type ModelConfig, objectiveOf } from '../models/index.js';
import { counted, formatCount, formatPercent } from '../report/format.js';
import { unknownName } from '../suggest.js';
import type { ModelFolder } from '../train/index.js';
import { modelConfigOf, sequenceOf, totalStepsOf } from './settings/resolve.js';
import type { Settings } from './settings/schema.js';
import type { ProgressState } from './watch/progress.js';

export interface CorpusWatch {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: CorpusProgress) => void;
  /** Receives warnings about the text, one sentence each. */
  readonly onNote: (note: string) => void;
}

/**
 * Prepares the corpus, or opens it where it is prepared.
 * @throws ApolloError of lib/data; BAD_CONFIG where `data` is missing or names a format that does not exist.
 */
export async function openCorpus(settings: Settings, watch: CorpusWatch, init?: InitialModel): Promise<Corpus> {
  const { format, field, header, quotes, decodeEntities } = settings;
  return prepareCorpus({
    inputs: checkData(settings),
    ...({ format, field, header, quotes, decodeEntities } satisfies ReadOptions),
    tokenizer: tokenizerOf(settings, init),
    cacheDir: settings.cache,
    heldOut: settings.heldOut,
    specialTokensAsText: settings.specialAsText ?? false,
    ...watch,
  });
}

/**
 * The inputs to read.
 * @throws ApolloError BAD_CONFIG where `data` is missing or a format does not exist.
 */
export function checkData({ data, format }: Settings): NonNullable<Settings['data']> {
  if (!data)
    throw new ApolloError(
      'BAD_CONFIG',
      'No text to train on: give --data with text files or folders, or --preset sample.',
    );
  for (const name of [format, ...data.map((input) => (typeof input === 'string' ? undefined : input.format))]) {
    if (name !== undefined) checkFormat(name);
  }
  return data;
}

/** @throws ApolloError BAD_CONFIG for a format that does not exist. */
export function checkFormat(name: string): void {
  if (formatNames.includes(name)) return;
  throw new ApolloError('BAD_CONFIG', `format: there is no format ${unknownName(name, formatNames)}`);
}

/** Properties of the initial model that decide the tokenizer. */
export type InitialModel = Pick<ModelFolder, 'config' | 'tokenizerPath'>;

/**
 * The tokenizer to load, or the kind to train: that of the initial model; else WordPiece for masked
 * models, BPE for causal ones.
 * @throws ApolloError BAD_CONFIG where the initial model has no tokenizer and none is named.
 */
export function tokenizerOf(
  settings: Settings,
  init?: InitialModel,
): { path: string } | { train: 'wordpiece' | 'bpe'; vocabSize: number } {
  const config = modelConfigOf(settings, init?.config);
  if (init && !init.tokenizerPath && !settings.tokenizer) {
    throw new ApolloError(
      'BAD_CONFIG',
      `--init: the model in ${settings.init} has no tokenizer, and another tokenizer would not fit its embeddings. ` +
        'Name its own with --tokenizer.',
    );
  }
  const choice = settings.tokenizer ?? init?.tokenizerPath ?? (objectiveOf(config) === 'masked' ? 'wordpiece' : 'bpe');
  return choice === 'wordpiece' || choice === 'bpe'
    ? { train: choice, vocabSize: config.vocabSize }
    : { path: resolve(choice) };
}

/** The state of a preparation as a line of progress. */
export function corpusProgress({ phase, source, done, total, tokens, tokensPerSecond }: CorpusProgress): ProgressState {
  const tokenising = phase === 'tokenise';
  return {
    label: `text: ${phase}${tokenising && source !== undefined ? ` ${source}` : ''}`,
    done: total > 0 ? done / total : 0,
    ...(tokenising && tokens > 0 && { detail: `${formatCount(tokens)} tokens` }),
    ...(tokenising && tokensPerSecond > 0 && { tokensPerSecond }),
  };
}

/** Size of a corpus, and of a mixture how often a run goes through its sources. */
export function describeCorpus({ stats, sources, train }: Corpus, settings: Settings, model: ModelConfig): string {
  const size = `${counted(stats.documents, 'document')}, ${formatCount(stats.trainTokens)} tokens for training, ${formatCount(stats.heldOutTokens)} held out`;
  if (sources.length === 1) return size;
  const rows = totalStepsOf(settings, model) * settings.batch * settings.accumulation * (settings.ranks ?? 1);
  const content = sequenceOf(settings, model) - (objectiveOf(model) === 'masked' ? 2 : 0);
  const times = passes(train, { rows, content });
  const shares = sources.map(
    ({ name, share }, i) => `${name} ${formatPercent(share)}, gone through ${times[i]!.passes.toFixed(2)} times`,
  );
  return `${size}; ${shares.join('; ')}`;
}
