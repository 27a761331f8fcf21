/** Opens everything that `train` and `compare` need before they start: the device, the corpus, and a model that fits both. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Corpus, type CorpusProgress, checkVocabulary, endOfTextFiles, loadTokenizer } from '../data/index.js';
import { alone, firstThenOthers, type Group } from '../dist/index.js';
import type { Device } from '../engine/index.js';
import { writeWholeFile } from '../fs/whole-file.js';
import { createModel, headSizeOf, type LanguageModel } from '../models/index.js';
import { formatPercent } from '../report/format.js';
import { openModelFolder, type TrainingCorpus } from '../train/index.js';
import { trainingCorpus } from '../train/text-corpus.js';
import { checkData, corpusProgress, describeCorpus, type InitialModel, openCorpus, tokenizerOf } from './corpus.js';
import { describeDevice, openDeviceOf, precisionOf } from './device.js';
import { preflight, type RunPlan } from './preflight.js';
import type { Seat } from './ranks.js';
import { modelConfigOf, modelName, sequenceOf, totalStepsOf } from './settings/resolve.js';
import type { Settings } from './settings/schema.js';
import type { Progress } from './watch/progress.js';

export interface Session {
  readonly device: Device;
  readonly group: Group;
  readonly corpus: Corpus;
  readonly batches: TrainingCorpus;
  readonly model: LanguageModel;
  readonly precision: 'f32' | 'bf16';
  /** For the head of a report. */
  readonly description: Readonly<Record<string, string | number>>;
  close(): Promise<void>;
}

/**
 * `seat`: of one of several ranks, of which the first prepares the text before the others look for it. It stays open.
 * @throws ApolloError of the rooms below; BAD_CONFIG where data is missing, and for all that is wrong with the settings
 * independent of the text (preflight.ts), before any of it is read. Nothing stays open then.
 */
export async function openSession(
  settings: Settings,
  progress: Progress,
  signal: AbortSignal,
  plan: RunPlan = {},
  seat?: Seat,
): Promise<Session> {
  checkData(settings);
  const init = await readInit(settings);
  const tokenizer = tokenizerOf(settings, init);
  const loaded = 'path' in tokenizer ? loadTokenizer(tokenizer.path) : tokenizer;
  const vocabSize = settings.vocabSize ?? init?.config.vocabSize ?? ('train' in loaded ? undefined : loaded.vocabSize);
  const model = createModel(modelConfigOf({ ...settings, vocabSize }, init?.config));
  await preflight(settings, model, loaded, plan);
  const device = seat?.device ?? (await openDeviceOf(settings));
  const group = seat?.group ?? alone;
  const closeDevice = async () => {
    if (!seat) await device.close();
  };
  try {
    const onProgress = (state: CorpusProgress) => progress.update(corpusProgress(state));
    const onNote = (note: string) => progress.message(note);
    const corpus = await firstThenOthers(group, () => openCorpus(settings, { signal, onProgress, onNote }, init));
    for (const warning of corpus.warnings) progress.warn(warning);
    try {
      checkVocabulary(corpus.tokenizer, model.config.vocabSize);
      const { evaluationBatches } = settings;
      const batches = trainingCorpus(corpus, { evaluationBatches });
      const precision = precisionOf(settings);
      return {
        device,
        group,
        corpus,
        batches,
        model,
        precision,
        description: describe(settings, model, corpus, device, precision),
        close: async () => {
          corpus.close();
          await closeDevice();
        },
      };
    } catch (error) {
      corpus.close();
      throw error;
    }
  } catch (error) {
    await closeDevice();
    throw error;
  }
}

/** Keeps the tokenizer next to the run, so that its checkpoints can be used without the corpus. */
export async function saveTokenizer(session: Session, folder: string): Promise<void> {
  const { tokenizer } = session.corpus;
  await writeWholeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer.definition), 'The tokenizer');
  for (const { name, content } of endOfTextFiles(tokenizer)) {
    if (content) await writeWholeFile(join(folder, name), content, 'The tokenizer');
    else await rm(join(folder, name), { force: true }); // an earlier run's would add its tokens
  }
}

/** Config and tokenizer of the initial model; its weights are read when the run starts. */
export async function readInit({ init }: Settings): Promise<InitialModel | undefined> {
  if (init === undefined) return undefined;
  await using folder = await openModelFolder(init);
  const { config, tokenizerPath } = folder;
  return { config, tokenizerPath };
}

/** "cosine to 0", "constant, the last 20 % linear to 0". */
function describeSchedule({ schedule, decay: { share = 0.2, shape = 'linear' } }: Settings): string {
  if (schedule === 'constant') return schedule;
  return schedule === 'wsd' ? `constant, the last ${formatPercent(share)} ${shape} to 0` : `${schedule} to 0`;
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
    ...(settings.init && { 'starts from': settings.init }),
    structure: `${config.kind}, ${config.layers} layers x ${config.hidden}, heads of ${headSizeOf(config)}, vocabulary ${config.vocabSize}`,
    data: describeCorpus(corpus, settings, config),
    corpus: corpus.key,
    steps: totalStepsOf(settings, config),
    batch: `${settings.batch} x ${seq} tokens${settings.accumulation > 1 ? `, ${settings.accumulation} micro-batches` : ''}${settings.ranks ? ` on each of ${settings.ranks} ranks` : ''}`,
    'learning rate': `${settings.learningRate}, warm-up ${settings.warmup}, ${describeSchedule(settings)}`,
    dropout: config.dropout,
    precision,
    evaluation: settings.heldOut > 0 ? `up to ${settings.evaluationBatches} held-out batches at full depth` : 'none',
    ...describeDevice(device),
  };
}
