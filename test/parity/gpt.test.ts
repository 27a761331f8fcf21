/** GPT-2 against Hugging Face's GPT2LMHeadModel, and AdamW against PyTorch's. */
import t from 'tap';
import { slice, type Tensor } from '../../lib/engine/index.js';
import { testDevice } from '../device.js';
import { testAdamW, testOutputs } from './causal.js';
import { golden, goldenModel, goldenStore, relativeError, shiftedLabels, traceModel } from './golden.js';

const device = await testDevice();
t.teardown(() => device.close());
const reference = { name: 'gpt2-ref', batch: 2, seq: 16 };

testOutputs(device, reference);
testAdamW(device, reference);

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
