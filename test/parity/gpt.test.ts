/** GPT-2 against Hugging Face's GPT2LMHeadModel, and AdamW against PyTorch's. */
import t from 'tap';
import { AdamW, accumulateGradients, slice, type Tensor } from '../../lib/engine/index.js';
import { huggingFaceOf } from '../../lib/interop/hugging-face-config.js';
import { readForeign } from '../../lib/interop/hugging-face-names.js';
import { testDevice } from '../device.js';
import { golden, goldenJson, goldenModel, goldenStore, relativeError, shiftedLabels, traceModel } from './golden.js';

const [batch, seq] = [2, 16];
const device = await testDevice();
t.teardown(() => device.close());

async function inputs() {
  await using reader = await golden('gpt2-ref/inputs.safetensors');
  const tokens = await reader.readInt32('input_ids', [batch, seq]);
  return { tokens, labels: shiftedLabels(tokens, seq) };
}

for (const { precision, training, outputs: outputLimit, gradients: gradientLimit } of [
  { precision: 'f32', training: true, outputs: 1e-5, gradients: 1e-4 },
  { precision: 'f32', training: false, outputs: 1e-5, gradients: undefined },
  { precision: 'bf16', training: true, outputs: 2e-2, gradients: 2e-2 },
] as const) {
  t.test(`GPT2LMHeadModel in ${precision}, ${training ? 'training' : 'evaluation'}`, async (t) => {
    const model = await goldenModel('gpt2-ref');
    using store = await goldenStore(device, model, 'gpt2-ref', { precision });
    const { graph, trace } = traceModel(
      model,
      store,
      { batch, seq, padding: false },
      { training, logits: true, hiddenStates: true },
    );
    graph.output('logits', trace.logits as Tensor);
    for (const [i, state] of trace.hiddenStates?.entries() ?? []) graph.output(`state${i}`, state);
    graph.output('count', trace.count);
    const names = training ? accumulateGradients(trace.loss) : [];
    const { outputs } = await (await device.compile(graph, { store })).run(await inputs());

    await using expected = await golden('gpt2-ref/expected.safetensors');
    const close = async (name: string, theirs = name): Promise<void> => {
      const error = relativeError(outputs[name] as Float32Array, await expected.readFloat32(theirs));
      t.ok(error <= outputLimit, `${theirs}: relative error ${error.toExponential(1)}`);
    };
    for (let i = 0; i <= model.config.layers; i++) await close(`state${i}`, `hidden_states.${i}`);
    await close('logits');
    await close('loss');
    t.equal(outputs.count?.[0], batch * (seq - 1), 'the last position of a sequence predicts nothing');

    if (gradientLimit === undefined) return;
    t.equal(names.length, model.parameters(model.config.layers).length);
    for (const spec of model.parameters(model.config.layers)) {
      const reference = (await readForeign(expected, huggingFaceOf({ kind: 'gpt' }), spec, 'grad.')) as Float32Array;
      const error = relativeError(await store.gradient(spec.name), reference);
      t.ok(error <= gradientLimit, `gradient of ${spec.name}: relative error ${error.toExponential(1)}`);
    }
  });
}

t.test('ten AdamW steps give the losses of torch.optim.AdamW', async (t) => {
  const settings = (await goldenJson('gpt2-ref/adamw_losses.json')) as {
    lr: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    loss_before_step_k: number[];
  };
  const model = await goldenModel('gpt2-ref');
  using store = await goldenStore(device, model, 'gpt2-ref', { decayAll: true });
  const { graph, trace } = traceModel(model, store, { batch, seq, padding: false });
  const names = accumulateGradients(trace.loss);
  const program = await device.compile(graph, { store });
  const adamw = new AdamW(store, {
    beta1: settings.betas[0],
    beta2: settings.betas[1],
    epsilon: settings.eps,
    weightDecay: settings.weight_decay,
    maxNorm: 0,
  });
  const fed = await inputs();
  for (const [step, expected] of settings.loss_before_step_k.entries()) {
    const loss = (await program.run(fed)).outputs.loss?.[0] as number;
    // Eleven losses printed in f32; Adam's division lets the roundings of small gradients grow a little each step.
    t.ok(Math.abs(loss / expected - 1) <= 1e-5, `loss before step ${step}: ${loss}, expected ${expected}`);
    const { applied } = await adamw.step(names, { lr: settings.lr });
    t.ok(applied);
  }
});

t.test('a published tiny GPT-2 (heads of width 1, full vocabulary)', async (t) => {
  const model = await goldenModel('tiny-gpt2');
  using store = await goldenStore(device, model, 'tiny-gpt2');
  await using expected = await golden('tiny-gpt2/expected_hf.safetensors');
  const tokens = await expected.readInt32('input_ids', [1, 8]);
  const { graph, trace } = traceModel(
    model,
    store,
    { batch: 1, seq: 8, padding: false },
    { training: false, logits: true, hiddenStates: true },
  );
  graph.output('lastLogits', slice(trace.logits as Tensor, [7, 0], [1, 50257]));
  for (const [i, state] of trace.hiddenStates?.entries() ?? []) graph.output(`state${i}`, state);
  const { outputs } = await (await device.compile(graph, { store })).run({ tokens, labels: shiftedLabels(tokens, 8) });
  for (const [ours, theirs] of [
    ['loss', 'loss'],
    ['lastLogits', 'logits_last'],
    ['state0', 'hidden_states.0'],
    ['state1', 'hidden_states.1'],
    ['state2', 'hidden_states.2'],
  ] as const) {
    const error = relativeError(outputs[ours] as Float32Array, await expected.readFloat32(theirs));
    t.ok(error <= 1e-5, `${theirs}: relative error ${error.toExponential(1)}`);
  }
});
