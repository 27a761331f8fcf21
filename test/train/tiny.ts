/** A tiny model, a synthetic corpus and helpers shared by the tests of the loop. */
import { type Device, type OptimizerName, optimizerState, ParameterStore } from '../../lib/engine/index.js';
import { uniformNumber } from '../../lib/growth/index.js';
import { type ApolloOptions, apollo } from '../../lib/methods/index.js';
import { createModel, withDefaults } from '../../lib/models/index.js';
import type { TrainDependencies } from '../../lib/train/dependencies.js';
import type { TrainEvent, TrainingCorpus, TrainOptions } from '../../lib/train/index.js';
import { loadCheckpoint, readCheckpointState, train } from '../../lib/train/index.js';
import { testDevice } from '../device.js';

export const vocabSize = 13;

const sizes = { layers: 4, hidden: 32, heads: 2, vocabSize, maxPositions: 16, dropout: 0.1, attentionDropout: 0.1 };
export const tinyModel = createModel(withDefaults({ kind: 'gpt', ...sizes }));
export const tinyLlama = createModel(withDefaults({ kind: 'llama', ...sizes, keyValueHeads: 1 }));

/** Sequences that count upwards by 1 or 2 (mod vocab) from a random start; a model learns the rule in a few dozen steps. */
function countingBatch(seed: number, stream: number, index: number, batch: number, seq: number) {
  const tokens = new Int32Array(batch * seq);
  const labels = new Int32Array(batch * seq).fill(-100);
  for (let row = 0; row < batch; row++) {
    const x = uniformNumber(seed, stream, index * batch + row);
    const start = Math.floor(x * vocabSize);
    const stride = 1 + (Math.floor(x * vocabSize * 2) % 2);
    for (let i = 0; i < seq; i++) {
      tokens[row * seq + i] = (start + stride * i) % vocabSize;
      if (i > 0) labels[row * seq + i - 1] = tokens[row * seq + i] as number;
    }
  }
  return { tokens, labels };
}

export const countingCorpus: TrainingCorpus = {
  key: 'counting',
  shape: ({ batch, seq }) => ({ batch, seq, padding: false }),
  batch: ({ batch, seq, seed, step, micro }) => countingBatch(seed, 7 + micro, step, batch, seq),
  heldOutCount: () => 2,
  heldOut: ({ batch, seq, index }) => countingBatch(99, 6, index, batch, seq),
};

export const tinyOptions: TrainOptions = {
  seed: 5,
  steps: 24,
  batch: 4,
  seq: 16,
  accumulation: 2,
  learningRate: 3e-3,
  evaluateEvery: 8,
};

/** Stages of 1, 2 and 4 layers that change at steps 6 and 14 of 24. */
export const tinyMethod = (options: Partial<ApolloOptions> = {}) =>
  apollo({ layers: 4, totalSteps: 24, seed: 5, boundaries: { steps: [6, 14] }, ...options });

/** Runs to the end and returns all events; `onEvent` sees each when it happens. */
export async function runTiny(
  device: Device,
  options: Partial<TrainOptions> = {},
  deps: Partial<TrainDependencies> = {},
  onEvent: (event: TrainEvent) => void = () => {},
): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  const all = { device, model: tinyModel, method: tinyMethod(), corpus: countingCorpus, ...deps };
  for await (const event of train({ ...tinyOptions, ...options }, all)) {
    events.push(event);
    onEvent(event);
  }
  return events;
}

/** One thread: these networks are too small for more, and several tests share the machine. `index`: of a GPU. */
export const openTinyDevice = (index = 0) => testDevice({ threads: 1, index });

/** Everything a checkpoint restores, as text that is equal only for equal bits. */
export async function contentsOf(device: Device, folder: string, model = tinyModel): Promise<string> {
  const store = new ParameterStore(device, { precision: 'f32' });
  const { stage, identity } = await readCheckpointState(folder);
  store.keepState(optimizerState((identity['optimizer'] ?? 'adamw') as OptimizerName));
  const state = await loadCheckpoint(folder, store, model.parameters(stage.trainedLayers));
  const hex = (values: Float32Array) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
  const parts: unknown[] = [
    state.step,
    state.stage,
    state.totals.tokens,
    state.totals.flopsModel,
    state.totals.flopsExecuted,
    state.counts,
  ];
  for (const name of store.names()) {
    const { slots, count } = await store.moments(name);
    parts.push([name, hex(await store.read(name)), slots.map(({ values }) => hex(values)), count]);
  }
  store.dispose();
  return JSON.stringify(parts, null, 1);
}

/** The events that must repeat bit by bit, without their times, as text (one line each). */
export function comparable(events: readonly TrainEvent[]): string {
  return events
    .filter((event) => event.type === 'step' || event.type === 'evaluation' || event.type === 'growth')
    .map((event) => JSON.stringify({ ...event, ms: 0, trainMs: 0, tokensPerSecond: 0, waitedMs: 0 }))
    .join('\n');
}
