/** A tiny model that learns real text, stopped in the middle of Apollo's second stage, with its tokenizer next to it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { prepareCorpus } from '../../lib/data/index.js';
import { type Device, Graph } from '../../lib/engine/index.js';
import { apollo } from '../../lib/methods/index.js';
import { type BatchShape, createModel, modelWeights, withDefaults } from '../../lib/models/index.js';
import type { LoadedModel, TrainEvent } from '../../lib/train/index.js';
import { train } from '../../lib/train/index.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';

const text = join(import.meta.dirname, '../fixtures/text/sample_text.txt');

export type Kind = 'bert' | 'gpt' | 'llama';

/** Deviations of each family from Hugging Face's defaults that must survive. */
const deviations = { bert: {}, gpt: {}, llama: { keyValueHeads: 2, headSize: 16, ropeTheta: 50_000, epsilon: 1e-4 } };

/** Trains in `folder`, laid out as `apollo-lm train` does; 2 of 4 layers are trained when it stops at step 8 of 24. */
export async function tinyRun(device: Device, kind: Kind, folder: string) {
  const books = join(folder, 'books.txt');
  await writeFile(books, (await readFile(text, 'utf8')).repeat(8));
  const corpus = await prepareCorpus({
    inputs: [books],
    tokenizer: { train: kind === 'bert' ? 'wordpiece' : 'bpe', vocabSize: 400 },
    cacheDir: join(folder, 'cache'),
    heldOut: 0.2,
  });
  try {
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(corpus.tokenizer.definition));
    // More rows than tokens.
    const sizes = { layers: 4, hidden: 32, heads: 4, ffn: 72, vocabSize: 416, maxPositions: 24 };
    const model = createModel(withDefaults({ kind, ...sizes, initStd: 0.1, ...deviations[kind] }));
    const batches = trainingCorpus(corpus, { evaluationBatches: 2 });
    const method = apollo({ layers: 4, totalSteps: 24, seed: 5, boundaries: { steps: [6, 14] } });
    const events: TrainEvent[] = [];
    const options = { seed: 5, steps: 24, batch: 4, seq: 16, learningRate: 3e-3, evaluateEvery: 8 };
    const checkpointDir = join(folder, 'checkpoints');
    const deps = { device, model, method, corpus: batches, checkpointDir };
    for await (const event of train({ ...options, evaluationBatches: 2, stopAfter: { steps: 8 } }, deps)) {
      events.push(event);
    }
    const last = events.findLast((event) => event.type === 'evaluation');
    const size = { batch: 4, seq: 16, objective: model.objective };
    const shape = batches.shape(size);
    const heldOut = await batches.heldOut({ ...size, index: 0 });
    return { events, lossFull: last?.lossFull as number, shape, heldOut, batches, text: await readFile(text, 'utf8') };
  } finally {
    corpus.close();
  }
}

/** Logits of every position, f32 [B*T, V], without dropout. */
export async function logitsOf(device: Device, loaded: LoadedModel, tokens: Int32Array, shape: BatchShape) {
  const { model, store, layerMap } = loaded;
  const graph = new Graph();
  const trace = model.trace(graph, modelWeights(graph, model, store.precision), shape, {
    layerMap,
    training: false,
    logits: true,
  });
  if (!trace.logits) throw new Error('no logits');
  graph.output('logits', trace.logits);
  const program = await device.compile(graph, { store });
  try {
    const more: Record<string, Int32Array> =
      model.config.kind === 'bert'
        ? { positions: new Int32Array(shape.targets as number), labels: new Int32Array(shape.targets as number) }
        : { labels: new Int32Array(tokens.length) };
    const inputs = Object.fromEntries(
      Object.entries({ tokens, ...more }).filter(([name]) => program.inputs.some((input) => input.name === name)),
    );
    return (await program.run(inputs)).outputs['logits'] as Float32Array;
  } finally {
    program.dispose();
  }
}
