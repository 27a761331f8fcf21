/** Muon against torch.optim.Muon, whose iterations run in bf16. */
import t from 'tap';
import { Muon, type MuonOptions, type ParameterDeclaration } from '../../lib/engine/index.js';
import { testDevice } from '../device.js';
import { trained } from '../engine/optim/trained.js';
import { orthogonalised } from '../reference/optimizer.js';
import { golden, goldenJson } from './golden.js';

interface Settings {
  readonly lr: number;
  readonly weight_decay: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly ns_steps: number;
}

const steps = 5;

/** PyTorch's weights [rows, columns] = [outputs, inputs] as ours, [inputs, outputs]. */
function transposed(values: ArrayLike<number>, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.sqrt(Array.from(a).reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0)) / Math.hypot(...Array.from(b));

/** The five updates in f64: the definition of torch.optim.Muon with exact iterations, on [inputs, outputs]. */
function exactly(
  start: Float32Array,
  gradients: readonly Float32Array[],
  [rows, columns]: readonly [number, number],
  settings: Settings,
  adjust: string,
): Float64Array[] {
  const { lr, weight_decay: decay, momentum: mu, nesterov, ns_steps: iterations } = settings;
  const factor =
    adjust === 'original' ? Math.sqrt(Math.max(1, columns / rows)) : 0.2 * Math.sqrt(Math.max(rows, columns));
  let value = Float64Array.from(start);
  let mean = new Float64Array(start.length);
  return gradients.map((gradient) => {
    mean = mean.map((m, i) => mu * m + (1 - mu) * gradient[i]!);
    const direction = nesterov ? mean.map((m, i) => mu * m + (1 - mu) * gradient[i]!) : mean;
    const matrix = Array.from({ length: rows }, (_, row) => direction.slice(row * columns, (row + 1) * columns));
    const update = orthogonalised(matrix, iterations).flatMap((row) => [...row]);
    value = value.map((x, i) => x * (1 - lr * decay) - lr * factor * update[i]!);
    return value;
  });
}

t.test('five steps, three shapes, both adjustments of the rate', async (t) => {
  await using device = await testDevice({ threads: 2 });
  const settings = await goldenJson('muon-ref/settings.json');
  await using reader = await golden('muon-ref/steps.safetensors');
  for (const adjust of ['original', 'match_rms_adamw'] as const) {
    const own = settings[adjust] as Settings;
    for (const shape of ['square', 'tall', 'wide']) {
      const path = `${adjust}.${shape}`;
      const [outputs, inputs] = reader.info(`${path}.start`).shape as [number, number];
      const read = async (name: string) =>
        transposed(await reader.readFloat32(`${path}.${name}`, [outputs, inputs]), outputs, inputs);
      const start = await read('start');
      const gradients: Float32Array[] = [];
      const torch: Float32Array[] = [];
      for (let k = 0; k < steps; k++) {
        gradients.push(await read(`grad.${k}`));
        torch.push(await read(`after.${k}`));
      }
      t.ok(
        gradients[3]!.every((g) => g === 0),
        'one step has no gradient',
      );
      const exact = exactly(start, gradients, [inputs, outputs], own, adjust);
      const ours = async (precision: 'f32' | 'bf16') => {
        const spec: ParameterDeclaration = {
          name: 'w',
          shape: [inputs, outputs],
          workingCopy: false,
          decay: true,
          matrices: [outputs],
        };
        const { store, feed } = await trained(device, [spec], { w: start });
        const options: MuonOptions = {
          momentum: own.momentum,
          nesterov: own.nesterov,
          iterations: own.ns_steps,
          weightDecay: own.weight_decay,
          maxNorm: 0,
          adjust,
          precision,
        };
        const muon = new Muon(store, options);
        const values: Float32Array[] = [];
        for (const gradient of gradients) {
          await feed({ w: gradient });
          await muon.step(['w'], { learningRate: own.lr });
          values.push(await store.read('w'));
        }
        store.dispose();
        return values;
      };
      const [single, half] = [await ours('f32'), await ours('bf16')];
      for (let k = 0; k < steps; k++) {
        const off = distance(single[k]!, exact[k]!);
        t.ok(off <= 1e-5, `${path}, step ${k}: f32 is ${off} from f64`);
        // What the weights have moved since the start: their rounding to f32 is far below bf16's error.
        const moved = (values: ArrayLike<number>) => Array.from(values, (x, i) => x - start[i]!);
        const torchError = distance(moved(torch[k]!), moved(exact[k]!));
        const ourError = distance(moved(half[k]!), moved(exact[k]!));
        t.ok(torchError < 2 ** -5, `${path}, step ${k}: torch's bf16 is ${torchError} from f64`);
        t.ok(ourError <= 2 * torchError, `${path}, step ${k}: our bf16 is ${ourError} from f64`);
      }
    }
  }
});
