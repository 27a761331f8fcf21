/** What `train` and `compare` open before they begin: the device, the corpus, the model that fits both. */

import { join } from 'node:path';
import { type Corpus, type CorpusProgress, checkVocabulary, loadTokenizer } from '../data/index.js';
import type { Device } from '../engine/index.js';
import { writeWholeFile } from '../fs/whole-file.js';
import { createModel, type LanguageModel } from '../models/index.js';
import { openModelFolder, type TrainingCorpus } from '../train/index.js';
import { trainingCorpus } from '../train/text-corpus.js';
import type { Settings } from './config.js';
import { checkData, corpusProgress, describeCorpus, type InitialModel, openCorpus, tokenizerOf } from './corpus.js';
import { describeDevice, openDeviceOf, precisionOf } from './device.js';
import type { Progress } from './progress.js';
import { modelConfigOf, modelName, sequenceOf, totalStepsOf, trainOptionsOf } from './resolve.js';

export interface Session {
  readonly device: Device;
  readonly corpus: Corpus;
  readonly batches: TrainingCorpus;
  readonly model: LanguageModel;
  readonly precision: 'f32' | 'bf16';
  /** For the head of a report. */
  readonly description: Readonly<Record<string, string | number>>;
  close(): Promise<void>;
}

/**
 * @throws ApolloError of the rooms below; BAD_CONFIG where data is missing. Nothing stays open then.
 */
export async function openSession(settings: Settings, progress: Progress, signal: AbortSignal): Promise<Session> {
  checkData(settings);
  const init = await readInit(settings);
  const tokenizer = tokenizerOf(settings, init);
  const known =
    'path' in tokenizer && settings.vocab === undefined ? loadTokenizer(tokenizer.path).vocabSize : undefined;
  const vocab = settings.vocab ?? init?.config.vocab ?? known;
  const model = createModel(modelConfigOf({ ...settings, vocab }, init?.config));
  trainOptionsOf(settings, model.config, settings.seed, 'f32'); // a missing length is told before anything is opened
  const device = await openDeviceOf(settings);
  try {
    const onProgress = (state: CorpusProgress) => progress.update(corpusProgress(state));
    const corpus = await openCorpus(settings, { signal, onProgress }, init);
    try {
      checkVocabulary(corpus.tokenizer, model.config.vocab);
      const { accumulate: accumulation, evalBatches: heldOutBatches } = settings;
      const batches = trainingCorpus(corpus, { kind: model.config.kind, accumulation, heldOutBatches });
      const precision = precisionOf(settings);
      return {
        device,
        corpus,
        batches,
        model,
        precision,
        description: describe(settings, model, corpus, device, precision),
        close: async () => {
          corpus.close();
          await device.close();
        },
      };
    } catch (error) {
      corpus.close();
      throw error;
    }
  } catch (error) {
    await device.close();
    throw error;
  }
}

/** Keeps the tokenizer beside the run, so that its checkpoints can be used without the corpus. */
export async function saveTokenizer(session: Session, folder: string): Promise<void> {
  const definition = JSON.stringify(session.corpus.tokenizer.definition);
  await writeWholeFile(join(folder, 'tokenizer.json'), definition, 'The tokenizer');
}

/** What is to be known of the model that a run begins with; its weights are read when the run begins. */
export async function readInit({ init }: Settings): Promise<InitialModel | undefined> {
  if (init === undefined) return undefined;
  await using folder = await openModelFolder(init);
  const { config, tokenizerPath } = folder;
  return { config, tokenizerPath };
}

function describe(
  settings: Settings,
  model: LanguageModel,
  corpus: Corpus,
  device: Device,
  precision: string,
): Record<string, string | number> {
  const { config } = model;
  const seq = sequenceOf(settings, config);
  return {
    model: modelName(settings),
    ...(settings.init && { 'begins with': settings.init }),
    structure: `${config.kind}, ${config.layers} layers x ${config.hidden}, heads of ${config.hidden / config.heads}, vocabulary ${config.vocab}`,
    data: describeCorpus(corpus, settings, config),
    corpus: corpus.key,
    steps: totalStepsOf(settings, config),
    batch: `${settings.batch} x ${seq} tokens${settings.accumulate > 1 ? `, ${settings.accumulate} micro-batches` : ''}`,
    'learning rate': `${settings.lr}, warm-up ${settings.warmup}, cosine to 0`,
    dropout: config.dropout,
    precision,
    evaluation: `up to ${settings.evalBatches} held-out batches at full depth`,
    ...describeDevice(device),
  };
}
