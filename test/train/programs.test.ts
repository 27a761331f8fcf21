import t, { type Test } from 'tap';
import { accumulateGradients, Graph, ParameterStore } from '../../lib/engine/index.js';
import type { StepPlan } from '../../lib/methods/index.js';
import { createModel, declareSpecs, initialValue, modelWeights, withDefaults } from '../../lib/models/index.js';
import { RunPrograms } from '../../lib/train/programs.js';
import { finishedNetwork } from '../../lib/train/stage.js';
import { testDevice } from '../device.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

const sizes = { layers: 4, hidden: 32, heads: 2, vocabSize: 13, maxPositions: 8 };
const batch = { batch: 2, seq: 8 };
const tokens = Int32Array.from({ length: 16 }, (_, i) => (7 * i) % 13);
const labels = Int32Array.from({ length: 16 }, (_, i) => (7 * i + 7) % 13);
const rng = Int32Array.of(3, 0, 5, 0);
const causal = { shape: { ...batch, padding: false }, inputs: { tokens, labels, rng } };
const kinds = {
  gpt: { ...causal, own: {} },
  llama: { ...causal, own: { keyValueHeads: 1, dropout: 0.1, attentionDropout: 0.1 } },
  bert: {
    own: {},
    shape: { ...batch, padding: false, targets: 4 },
    inputs: { tokens, positions: Int32Array.of(1, 4, 9, 12), labels: labels.subarray(0, 4), rng },
  },
};
type Kind = keyof typeof kinds;
const planOf = (layerMap: number[], more: Partial<StepPlan> = {}): StepPlan => ({
  trainedLayers: 4,
  depth: layerMap.length,
  layerMap,
  ...more,
});

/** A model with weights in a store. */
async function network(t: Test, kind: Kind, precision: 'f32' | 'bf16' = 'f32') {
  const model = createModel(withDefaults({ kind, ...sizes, ...kinds[kind].own }));
  const store = new ParameterStore(device, { precision });
  t.teardown(() => store.dispose());
  const specs = model.parameters(4);
  declareSpecs(store, specs);
  for (const spec of specs) await store.write(spec.name, initialValue(spec, 9));
  const programs = new RunPrograms({ device, store, network: finishedNetwork(model), precision });
  t.teardown(() => programs.clear());
  /** Loss and gradients after a run, equal only for equal bits; gradients are cleared. */
  const result = async (loss: Float32Array | Int32Array | undefined) => {
    const gradients: [string, string][] = [];
    for (const { name } of specs) {
      gradients.push([name, Buffer.from((await store.gradient(name)).buffer).toString('base64')]);
    }
    await store.zeroGradients();
    return { loss: loss?.[0], gradients };
  };
  return { model, store, programs, specs, precision, result };
}

for (const kind of Object.keys(kinds) as Kind[]) {
  for (const precision of ['f32', 'bf16'] as const) {
    t.test(`${kind}, ${precision}: a network of some layers gives the bits of a program of its own`, async (t) => {
      const { model, store, programs, result } = await network(t, kind, precision);
      const { shape, inputs } = kinds[kind];
      for (const layerMap of [[0, 2, 3], [1, 2, 3], [3], [0, 0, 1, 1], [1, 0, 1], [0, 1, 2, 3], [2, 3, 0]]) {
        const graph = new Graph();
        const weights = modelWeights(graph, model, precision);
        const { loss } = model.trace(graph, weights, shape, { layerMap, training: true });
        const ownNames = accumulateGradients(loss, { scale: 1 / 2 });
        graph.output('loss', loss);
        const own = await device.compile(graph, { store });
        const expected = await result((await own.run(inputs)).outputs.loss);
        own.dispose();

        const { program, binding, names } = await programs.training(planOf(layerMap), shape, 2);
        t.same(names, ownNames);
        // Twice: on a GPU the second run of a network is a recording.
        for (let run = 0; run < 2; run++) {
          const { outputs } = await program.run({ ...inputs, share: [0.5] }, { binding });
          t.same(await result(outputs.loss), expected, layerMap.join());
        }
      }
    });
  }
}

t.test('all networks of a depth are one program, and take no memory of their own', async (t) => {
  const { programs, result } = await network(t, 'gpt');
  const { shape, inputs } = kinds.gpt;
  const used = new Set<unknown>();
  const train = async (layerMap: number[]) => {
    const { program, binding } = await programs.training(planOf(layerMap), shape, 1);
    used.add(program);
    await result((await program.run(inputs, { binding })).outputs.loss);
  };
  for (const layerMap of [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]) await train(layerMap);
  t.equal(used.size, 4);
  const { bufferBytes, arenaBytes } = device.info();
  for (let subset = 1; subset < 16; subset++) await train([0, 1, 2, 3].filter((layer) => (subset >> layer) & 1));
  t.equal(used.size, 4);
  t.match(device.info(), { bufferBytes, arenaBytes });
});

t.test('runs of different networks that are queued together keep their parameters apart', async (t) => {
  const { programs, result } = await network(t, 'gpt');
  const { shape, inputs } = kinds.gpt;
  const losses = async (maps: number[][]) => {
    const runs = [];
    for (const layerMap of maps) {
      const { program, binding } = await programs.training(planOf(layerMap), shape, 1);
      runs.push(program.run(inputs, { binding }));
    }
    const all = (await Promise.all(runs)).map(({ outputs }) => outputs.loss?.[0]);
    await result(undefined);
    return all;
  };
  const [a, b] = [await losses([[0, 2]]), await losses([[1, 3]])];
  t.not(a[0], b[0]);
  t.same(
    await losses([
      [0, 2],
      [1, 3],
      [0, 2],
    ]),
    [a[0], b[0], a[0]],
  );
});

t.test('what is frozen is part of the program', async (t) => {
  const { programs, result } = await network(t, 'gpt');
  const { shape, inputs } = kinds.gpt;
  const frozen = (layer: number) => ({ trainable: (name: string) => !name.startsWith(`layer.${layer}.`) });
  const of = async (layerMap: number[], layer: number) => {
    const { program, binding, names } = await programs.training(planOf(layerMap, frozen(layer)), shape, 1);
    const { gradients } = await result((await program.run(inputs, { binding })).outputs.loss);
    const zero = Buffer.from(new Float32Array(32).buffer).toString('base64');
    const still = gradients.filter(([name, bits]) => name.endsWith('attention.norm.weight') && bits === zero);
    return { program, names, still: still.map(([name]) => name) };
  };
  const first = await of([0, 2], 2);
  t.same(first.still, [
    'layer.1.attention.norm.weight',
    'layer.2.attention.norm.weight',
    'layer.3.attention.norm.weight',
  ]);
  t.notOk(first.names.some((name) => name.startsWith('layer.2.')));
  const second = await of([1, 3], 3);
  t.equal(second.program, first.program, 'the upper place is frozen in both');
  t.same(second.still, [
    'layer.0.attention.norm.weight',
    'layer.2.attention.norm.weight',
    'layer.3.attention.norm.weight',
  ]);
  t.not((await of([0, 2], 0)).program, first.program);
});

t.test('a binding names parameters of the right shape that are there', async (t) => {
  const { programs, store } = await network(t, 'gpt');
  const { program, binding } = await programs.training(planOf([0]), kinds.gpt.shape, 1);
  t.throws(() => program.bind(() => 'embeddings.word'), {
    code: 'BAD_ARGUMENT',
    message: /in the store and .* in the graph/,
  });
  t.throws(() => program.bind((name) => `${name}s`), { code: 'BAD_ARGUMENT', message: /is not declared/ });
  const other = (await programs.training(planOf([3]), kinds.gpt.shape, 1)).binding;
  store.remove('layer.3.ffn.up.weight');
  await t.rejects(program.run(kinds.gpt.inputs, { binding: other }), {
    code: 'CLOSED',
    message: /layer\.3\.ffn\.up\.weight/,
  });
  t.ok((await program.run(kinds.gpt.inputs, { binding })).outputs.loss);
});
