/** BERT against Hugging Face's BertForPreTraining and BertModel. The NSP head is built here, with the engine's public ops. */
import t from 'tap';
import {
  accumulateGradients,
  add,
  crossEntropy,
  matmul,
  type ParameterStore,
  reshape,
  slice,
  type Tensor,
  tanh,
} from '../../lib/engine/index.js';
import { huggingFaceOf } from '../../lib/interop/hugging-face-config.js';
import { readForeign } from '../../lib/interop/hugging-face-names.js';
import { createModel, type Trace } from '../../lib/models/index.js';
import { testDevice } from '../device.js';
import { golden, goldenModel, goldenStore, relativeError, traceModel } from './golden.js';

const [batch, seq] = [3, 16];
const device = await testDevice();
t.teardown(() => device.close());

/** Masked positions of the golden batch, padded by two more rows as a training batch would be. */
async function inputs() {
  await using reader = await golden('bert-pretrain-ref/inputs.safetensors');
  const dense = await reader.readInt32('mlm_labels', [batch, seq]);
  const masked = [...dense.keys()].filter((i) => dense[i] !== -100);
  return {
    tokens: await reader.readInt32('input_ids', [batch, seq]),
    types: await reader.readInt32('token_type_ids'),
    mask: await reader.readInt32('attention_mask'),
    positions: [...masked, 0, 0],
    labels: [...masked.map((i) => dense[i] as number), -100, -100],
    nspLabels: await reader.readInt32('nsp_labels', [batch]),
  };
}

/** Weights outside our model: shapes as in the checkpoint, [outputs, inputs]. */
const extra = {
  'bert.pooler.dense.weight': [32, 32],
  'bert.pooler.dense.bias': [32],
  'cls.seq_relationship.weight': [2, 32],
  'cls.seq_relationship.bias': [2],
};

async function declareExtra(store: ParameterStore): Promise<void> {
  await using reader = await golden('bert-pretrain-ref/model.safetensors');
  for (const [name, shape] of Object.entries(extra)) {
    store.declare({ name, shape, workingCopy: shape.length === 2, decay: false });
    await store.write(name, await reader.readFloat32(name, shape));
  }
}

/** Next-sentence prediction: a tanh pooler on the first position and two classes. */
function nextSentence(
  { hiddenStates, loss }: Trace,
  precision: 'f32' | 'bf16',
): { logits: Tensor; loss: Tensor; total: Tensor } {
  const last = hiddenStates?.at(-1) as Tensor;
  const parameter = (name: keyof typeof extra): Tensor =>
    last.graph.parameter(name, extra[name], extra[name].length === 2 ? precision : 'f32');
  const dense = (x: Tensor, name: 'bert.pooler.dense' | 'cls.seq_relationship', dtype?: 'f32'): Tensor =>
    matmul(x, parameter(`${name}.weight`), {
      transB: true,
      bias: parameter(`${name}.bias`),
      ...(dtype ? { dtype } : {}),
    });
  const first = reshape(slice(last, [0, 0, 0], [batch, 1, 32]), [batch, 32]);
  const logits = dense(tanh(dense(first, 'bert.pooler.dense')), 'cls.seq_relationship', 'f32');
  const nsp = crossEntropy(logits, last.graph.input('nspLabels', [batch], 'i32')).loss;
  return { logits, loss: nsp, total: add(loss, nsp) };
}

// bf16 holds 8 bits (2^-8 = 4e-3) and our residual stream is bf16. PyTorch's autocast (f32 residuals) is off by up to
// 1.1e-2 in these gradients, 1.5e-2 in GPT-2's; ours may be off by at most 2e-2.
for (const { precision, outputs: outputLimit, gradients: gradientLimit } of [
  { precision: 'f32', outputs: 1e-5, gradients: 1e-4 },
  { precision: 'bf16', outputs: 2e-2, gradients: 2e-2 },
] as const) {
  t.test(`BertForPreTraining in ${precision}: states, logits, losses and all gradients`, async (t) => {
    const model = await goldenModel('bert-pretrain-ref');
    using store = await goldenStore(device, model, 'bert-pretrain-ref', { precision });
    await declareExtra(store);
    const fed = await inputs();
    const { graph, trace } = traceModel(
      model,
      store,
      { batch, seq, targets: fed.positions.length, padding: true, types: true },
      { logits: true, hiddenStates: true },
    );
    const nsp = nextSentence(trace, precision);
    graph.output('logits', trace.logits as Tensor);
    for (const [i, state] of trace.hiddenStates?.entries() ?? []) graph.output(`state${i}`, state);
    graph.output('nspLogits', nsp.logits);
    graph.output('nspLoss', nsp.loss);
    graph.output('total', nsp.total);
    graph.output('count', trace.count);
    const names = accumulateGradients(nsp.total);
    const { outputs } = await (await device.compile(graph, { store })).run(fed);

    await using expected = await golden('bert-pretrain-ref/expected.safetensors');
    const close = async (name: string, theirs: string): Promise<void> => {
      const error = relativeError(outputs[name] as Float32Array, await expected.readFloat32(theirs));
      t.ok(error <= outputLimit, `${theirs}: relative error ${error.toExponential(1)}`);
    };
    for (let i = 0; i <= model.config.layers; i++) await close(`state${i}`, `hidden_states.${i}`);
    await close('logits', 'prediction_logits');
    await close('nspLogits', 'seq_relationship_logits');
    await close('loss', 'mlm_loss');
    await close('nspLoss', 'nsp_loss');
    await close('total', 'loss');
    t.equal(outputs.count?.[0], fed.positions.length - 2, 'padded rows are not counted');

    const specs = model.parameters(model.config.layers);
    t.same(
      [...names].sort(),
      [...specs.map(({ name }) => name), ...Object.keys(extra)].sort(),
      'every parameter has a gradient',
    );
    for (const name of names) {
      const spec = specs.find((each) => each.name === name);
      const reference = spec
        ? await readForeign(expected, huggingFaceOf({ kind: 'bert' }), spec, 'grad.')
        : await expected.readFloat32(`grad.${name}`);
      const error = relativeError(await store.gradient(name), reference as Float32Array);
      t.ok(error <= gradientLimit, `gradient of ${name}: relative error ${error.toExponential(1)}`);
    }
  });
}

t.test('evaluation (fused activations) gives the same loss and logits', async (t) => {
  const model = await goldenModel('bert-pretrain-ref');
  using store = await goldenStore(device, model, 'bert-pretrain-ref');
  const { nspLabels: _, ...fed } = await inputs();
  const shape = { batch, seq, targets: fed.positions.length, padding: true, types: true };
  const { graph, trace } = traceModel(model, store, shape, { training: false, logits: true });
  graph.output('logits', trace.logits as Tensor);
  const { outputs } = await (await device.compile(graph, { store })).run(fed);
  await using expected = await golden('bert-pretrain-ref/expected.safetensors');
  t.ok(relativeError(outputs.loss as Float32Array, await expected.readFloat32('mlm_loss')) <= 1e-5);
  t.ok(relativeError(outputs.logits as Float32Array, await expected.readFloat32('prediction_logits')) <= 1e-5);
});

t.test('the limits notice another epsilon', async (t) => {
  const { config } = await goldenModel('bert-pretrain-ref');
  const { nspLabels: _, ...fed } = await inputs();
  await using expected = await golden('bert-pretrain-ref/expected.safetensors');
  const errorWith = async (epsilon: number): Promise<number> => {
    const model = createModel({ ...config, epsilon });
    using store = await goldenStore(device, model, 'bert-pretrain-ref');
    const shape = { batch, seq, targets: fed.positions.length, padding: true, types: true };
    const { graph, trace } = traceModel(model, store, shape, { training: false, hiddenStates: true });
    graph.output('last', trace.hiddenStates?.at(-1) as Tensor);
    const { outputs } = await (await device.compile(graph, { store })).run(fed);
    return relativeError(outputs.last as Float32Array, await expected.readFloat32('hidden_states.3'));
  };
  t.ok((await errorWith(config.epsilon)) <= 1e-5);
  t.ok((await errorWith(1e-5)) > 1e-5, "GPT-2's epsilon");
});

t.test('a published bare BertModel gives its last hidden state', async (t) => {
  const model = await goldenModel('tiny-bert-a');
  using store = await goldenStore(device, model, 'tiny-bert-a');
  await using expected = await golden('tiny-bert-a/expected_hf.safetensors');
  const { graph, trace } = traceModel(
    model,
    store,
    { batch: 2, seq: 12, targets: 1, padding: true, types: true },
    { training: false, hiddenStates: true },
  );
  graph.output('last', trace.hiddenStates?.at(-1) as Tensor);
  const { outputs } = await (await device.compile(graph, { store })).run({
    tokens: await expected.readInt32('input_ids', [2, 12]),
    types: await expected.readInt32('token_type_ids'),
    mask: await expected.readInt32('attention_mask'),
    positions: [0],
    labels: [1],
  });
  const error = relativeError(outputs.last as Float32Array, await expected.readFloat32('last_hidden_state'));
  t.ok(error <= 1e-5, `relative error ${error.toExponential(1)}`);
});
