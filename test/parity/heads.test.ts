/** Bodies with task heads against Hugging Face's models for sequences and spans: outputs, losses, gradients. */
import t from 'tap';
import { accumulateGradients } from '../../lib/engine/autodiff.js';
import { ParameterStore } from '../../lib/engine/index.js';
import { featureBatch } from '../../lib/eval/finetune/batches.js';
import type { Head } from '../../lib/eval/finetune/head.js';
import { classification, regression } from '../../lib/eval/finetune/heads/sequence.js';
import { spans } from '../../lib/eval/finetune/heads/spans.js';
import { inputsOf, networkSpecs, traceNetwork } from '../../lib/eval/finetune/network.js';
import { huggingFaceOf } from '../../lib/interop/hugging-face-config.js';
import { readForeign } from '../../lib/interop/hugging-face-names.js';
import { declareSpecs } from '../../lib/models/index.js';
import { testDevice } from '../device.js';
import { golden, goldenModel, plainMap, relativeError } from './golden.js';

const [rows, seq] = [3, 10];
const device = await testDevice();
t.teardown(() => device.close());

/** The fixture's batch as features, which `featureBatch` pads again; one row more fills the batch. */
async function features(name: string, head: Head) {
  await using reader = await golden(`heads/${name}/inputs.safetensors`);
  const [ids, mask, types] = await Promise.all(
    ['input_ids', 'attention_mask', 'token_type_ids'].map((key) => reader.readInt32(key, [rows, seq])),
  );
  const targets = await Promise.all(
    Object.entries(head.targets).map(
      async ([key, dtype]) =>
        [key, dtype === 'i32' ? await reader.readInt32(key) : await reader.readFloat32(key)] as const,
    ),
  );
  return Array.from({ length: rows }, (_, row) => {
    const length = mask!.subarray(row * seq, (row + 1) * seq).reduce((a, b) => a + b, 0);
    const cut = (values: Int32Array) => [...values.subarray(row * seq, row * seq + length)];
    return {
      tokens: cut(ids!),
      types: cut(types!),
      targets: Object.fromEntries(targets.map(([key, values]) => [key, values[row] as number])),
    };
  });
}

for (const [name, head] of [
  ['bert-classes', classification(3)],
  ['bert-number', regression()],
  ['bert-spans', spans],
  ['gpt-classes', classification(3)],
] as const) {
  // A batch of four for three sequences: the fourth row must change nothing.
  for (const batch of [rows, rows + 1]) {
    t.test(`${name} in a batch of ${batch}: outputs, loss and gradients`, async (t) => {
      const model = await goldenModel(`heads/${name}`);
      const { kind } = model.config;
      using store = new ParameterStore(device);
      const specs = networkSpecs(model, head, model.config.layers);
      declareSpecs(store, specs);
      await using weights = await golden(`heads/${name}/model.safetensors`);
      for (const spec of specs) {
        const values = await readForeign(weights, huggingFaceOf({ kind }), spec);
        t.ok(values, `${spec.name} is in the fixture`);
        await store.write(spec.name, values as Float32Array);
      }
      const { graph, output, loss } = traceNetwork({ model, head, layerMap: plainMap(model), batch, store }, seq, true);
      const names = accumulateGradients(loss);
      t.same([...names].sort(), specs.map((spec) => spec.name).sort(), 'every parameter trains');
      graph.output('output', output);
      graph.output('loss', loss);
      const program = await device.compile(graph, { store });
      const fed = featureBatch(await features(name, head), { batch, seq, padId: 0 }, head);
      const { outputs } = await program.run(inputsOf(program, fed));

      await using expected = await golden(`heads/${name}/expected.safetensors`);
      const logits = await expected.readFloat32('logits');
      const given = (outputs['output'] as Float32Array).subarray(0, logits.length);
      t.ok(relativeError(given, logits) <= 1e-5, `logits: ${relativeError(given, logits)}`);
      const difference = relativeError(outputs['loss'] as Float32Array, await expected.readFloat32('loss'));
      t.ok(difference <= 1e-5, `loss: ${difference}`);
      let squares = 0;
      let compared = 0;
      for (const spec of specs) {
        const gradient = await store.gradient(spec.name);
        squares += gradient.reduce((sum, value) => sum + value * value, 0);
        const reference = await readForeign(expected, huggingFaceOf({ kind }), spec, 'grad.').catch(() => undefined);
        if (!reference) continue;
        compared++;
        if (spec.name === 'spans.bias') {
          // A softmax does not change when all its logits do: the true gradient is 0.
          t.ok(gradient.every((value) => Math.abs(value) < 1e-6));
          continue;
        }
        const error = relativeError(gradient, reference);
        t.ok(error <= 1e-4, `gradient of ${spec.name}: ${error}`);
      }
      t.ok(compared >= 3, `${compared} gradients are in the fixture`);
      const norm = (await expected.readFloat32('grad_norm'))[0] as number;
      t.ok(Math.abs(Math.sqrt(squares) / norm - 1) <= 1e-5, `gradient norm ${Math.sqrt(squares)}, expected ${norm}`);
    });
  }
}
