/** A causal model against its reference in Hugging Face's library, and its training against torch.optim.AdamW. */
import t from 'tap';
import { AdamW, accumulateGradients, type Device, type Tensor } from '../../lib/engine/index.js';
import { huggingFaceOf } from '../../lib/interop/hugging-face-config.js';
import { readForeign } from '../../lib/interop/hugging-face-names.js';
import { golden, goldenJson, goldenModel, goldenStore, relativeError, shiftedLabels, traceModel } from './golden.js';

/** A folder of golden files, and the size of its batch. */
export interface CausalReference {
  readonly name: string;
  readonly batch: number;
  readonly seq: number;
}

async function inputs({ name, batch, seq }: CausalReference) {
  await using reader = await golden(`${name}/inputs.safetensors`);
  const tokens = await reader.readInt32('input_ids', [batch, seq]);
  return { tokens, labels: shiftedLabels(tokens, seq) };
}

/** Hidden states, logits, loss and all gradients, in f32 and bf16. */
export function testOutputs(device: Device, reference: CausalReference): void {
  const { name, batch, seq } = reference;
  for (const { precision, training, outputs: outputLimit, gradients: gradientLimit } of [
    { precision: 'f32', training: true, outputs: 1e-5, gradients: 1e-4 },
    { precision: 'f32', training: false, outputs: 1e-5, gradients: undefined },
    { precision: 'bf16', training: true, outputs: 2e-2, gradients: 2e-2 },
  ] as const) {
    t.test(`${name} in ${precision}, ${training ? 'training' : 'evaluation'}`, async (t) => {
      const model = await goldenModel(name);
      using store = await goldenStore(device, model, name, { precision });
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
      const { outputs } = await (await device.compile(graph, { store })).run(await inputs(reference));

      await using expected = await golden(`${name}/expected.safetensors`);
      const close = async (ours: string, theirs = ours): Promise<void> => {
        const error = relativeError(outputs[ours] as Float32Array, await expected.readFloat32(theirs));
        t.ok(error <= outputLimit, `${theirs}: relative error ${error.toExponential(1)}`);
      };
      for (let i = 0; i <= model.config.layers; i++) await close(`state${i}`, `hidden_states.${i}`);
      await close('logits');
      await close('loss');
      t.equal(outputs.count?.[0], batch * (seq - 1), 'the last position of a sequence predicts nothing');

      if (gradientLimit === undefined) return;
      t.equal(names.length, model.parameters(model.config.layers).length);
      const family = huggingFaceOf(model.config);
      for (const spec of model.parameters(model.config.layers)) {
        const gradient = (await readForeign(expected, family, spec, 'grad.')) as Float32Array;
        const error = relativeError(await store.gradient(spec.name), gradient);
        t.ok(error <= gradientLimit, `gradient of ${spec.name}: relative error ${error.toExponential(1)}`);
      }
    });
  }
}

/** The losses of steps of AdamW on one batch, with decay on all parameters. */
export function testAdamW(device: Device, reference: CausalReference): void {
  const { name, batch, seq } = reference;
  t.test(`${name}: AdamW steps give the losses of torch.optim.AdamW`, async (t) => {
    const settings = (await goldenJson(`${name}/adamw_losses.json`)) as {
      lr: number;
      betas: [number, number];
      eps: number;
      weight_decay: number;
      loss_before_step_k: number[];
    };
    const model = await goldenModel(name);
    using store = await goldenStore(device, model, name, { decayAll: true });
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
    const fed = await inputs(reference);
    t.equal(settings.loss_before_step_k.length, 11);
    for (const [step, expected] of settings.loss_before_step_k.entries()) {
      const loss = (await program.run(fed)).outputs.loss?.[0] as number;
      // Losses printed in f32; Adam's division lets the roundings of small gradients grow a little each step.
      t.ok(Math.abs(loss / expected - 1) <= 1e-5, `loss before step ${step}: ${loss}, expected ${expected}`);
      const { applied } = await adamw.step(names, { learningRate: settings.lr });
      t.ok(applied);
    }
  });
}
