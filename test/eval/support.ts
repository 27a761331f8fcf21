/** Shared code of the tests of lib/eval: fixtures, tiny tokenizers and tiny trained models on disk. */
import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { countWords, createTokenizer, type Tokenizer, trainTokenizer } from '../../lib/data/index.js';
import { type Device, ParameterStore } from '../../lib/engine/index.js';
import { saveFineTuned } from '../../lib/eval/finetune/fine-tuned.js';
import type { TunedTask } from '../../lib/eval/finetune/fine-tuned-folder.js';
import { networkSpecs, trainedLayersOf } from '../../lib/eval/finetune/network.js';
import { createModel, declareSpecs, initialiseParameters, initialValue, withDefaults } from '../../lib/models/index.js';
import { saveCheckpoint } from '../../lib/train/index.js';
import { temporaryFolder as temporary } from '../temporary.js';

export const glueFixtures = join(import.meta.dirname, '../fixtures/glue');

const text = `a warm and funny film, a bright little story: the actors shine, it moves and it sings. a "quiet" pleasure, the best
of the year; a dull and empty film, a tired story: the actors drown, it limps and it drags. a loud bore, the worst of the
year. He said that the shop opens at nine. Rain fell in the north and the price went up by two euros! Who built it? Birds
sing and dogs bark at night; the river runs, the train was late, the bus was early and the cat sat on the mat.`;

export type Kind = 'bert' | 'gpt' | 'llama';

/** A tokenizer trained on a few sentences: WordPiece for BERT, byte-level BPE for causal models. */
export async function tinyTokenizer(kind: Kind): Promise<Tokenizer> {
  const trained = kind === 'bert' ? 'wordpiece' : 'bpe';
  const vocabSize = kind === 'bert' ? 160 : 320;
  return createTokenizer(await trainTokenizer(trained, countWords(trained, text), { vocabSize }));
}

export const temporaryFolder = (): string => temporary('apollo-eval-');

export function tinyConfig(kind: Kind, vocabSize: number, maxPositions = 48) {
  const sizes = { layers: 2, hidden: 32, heads: 2, vocabSize, maxPositions, initStd: 0.1 };
  return withDefaults({ kind, ...sizes, ...(kind === 'llama' && { keyValueHeads: 1 }) });
}

/** A folder with the checkpoint of a tiny model of random weights and, unless `bare`, its tokenizer. */
export async function tinyModelFolder(
  device: Device,
  kind: Kind,
  options: { bare?: boolean; trainedLayers?: number } = {},
): Promise<string> {
  const tokenizer = await tinyTokenizer(kind);
  const model = createModel(tinyConfig(kind, tokenizer.vocabSize));
  const { trainedLayers = 2, bare = false } = options;
  using store = new ParameterStore(device);
  await initialiseParameters(store, model, trainedLayers, 3);
  const folder = temporaryFolder();
  await mkdir(join(folder, 'checkpoints'));
  await saveCheckpoint(join(folder, 'checkpoints'), store, {
    step: 1,
    stage: { index: 0, trainedLayers },
    layerMap: trainedLayers === 2 ? [0, 1] : [0, 0],
    identity: { model: { ...model.config } },
    totals: { tokens: 0, flopsModel: 0, flopsExecuted: 0, trainMs: 0 },
    nonFiniteSteps: 0,
    evaluated: true,
    device: { kind: 'cpu', threads: 1 },
  });
  if (!bare) writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer.definition));
  return folder;
}

/** A folder with a tiny model of random weights that is said to be fine-tuned for `task`. */
export async function tinyFineTuned(
  device: Device,
  kind: Kind,
  task: TunedTask,
  layerMap: readonly number[] = [0, 1],
): Promise<string> {
  const tokenizer = await tinyTokenizer(kind);
  const model = createModel(tinyConfig(kind, tokenizer.vocabSize));
  using store = new ParameterStore(device);
  const specs = networkSpecs(model, task.head, trainedLayersOf(layerMap));
  declareSpecs(store, specs);
  // Biases begin as zeros and norms as ones; a mix-up must show.
  for (const spec of specs)
    await store.write(spec.name, initialValue({ ...spec, init: { kind: 'normal', std: 0.2 } }, 5));
  const folder = join(temporaryFolder(), 'model');
  await saveFineTuned(folder, store, tokenizer, {
    task: task.name,
    head: task.head.kind,
    model: { ...model.config },
    layerMap: [...layerMap],
    maxLength: 40,
    seed: 5,
    epoch: 1,
    metrics: {},
  });
  return folder;
}
