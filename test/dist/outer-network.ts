/**
 * A network small enough to write down: loss = mean((tanh(x A) B - y)^2), with AdamW and outer steps, once on the engine for
 * one rank of a group and once for all ranks in plain f64, from the papers' formulas alone.
 */
import { type Group, OuterStep } from '../../lib/dist/index.js';
import { accumulateGradients, createOptimizer, type Device, Graph, ParameterStore } from '../../lib/engine/index.js';
import { matmul, mean, mul, sub, tanh } from '../../lib/engine/ops/index.js';
import { uniformNumber } from '../../lib/growth/index.js';

export interface OuterTask {
  readonly every: number;
  readonly outerSteps: number;
  readonly learningRate: number;
  readonly momentum: number;
}

const [rows, inputs, hidden, outputs] = [6, 5, 4, 3];
const adamw = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, maxNorm: 0 };
const rate = 0.02;
const shapes = { A: [inputs, hidden], B: [hidden, outputs] } as const;
type Name = keyof typeof shapes;
const names: readonly Name[] = ['A', 'B'];

const draw = (stream: number, count: number) =>
  Array.from({ length: count }, (_, i) => Math.fround(2 * uniformNumber(11, stream, i) - 1));
const initial = { A: draw(1, inputs * hidden), B: draw(2, hidden * outputs) };
/** The rows that `rank` sees in `step`. */
const batch = (rank: number, step: number) => ({
  x: draw(100 + 10 * step + rank, rows * inputs),
  y: draw(5000 + 10 * step + rank, rows * outputs),
});

/** Weights after each outer step and, before it, this rank's own and the mean over all ranks. */
export interface OuterRounds {
  readonly own: readonly number[][];
  readonly mean: readonly number[][];
  readonly common: readonly number[][];
  readonly bytesSent: readonly number[];
}

export async function onEngine(device: Device, group: Group, task: OuterTask): Promise<OuterRounds> {
  const store = new ParameterStore(device);
  for (const name of names) {
    store.declare({ name, shape: shapes[name], workingCopy: false, decay: true });
    await store.write(name, Float32Array.from(initial[name]));
  }
  const graph = new Graph();
  const layer = tanh(matmul(graph.input('x', [rows, inputs]), graph.parameter('A', shapes.A)));
  const error = sub(matmul(layer, graph.parameter('B', shapes.B)), graph.input('y', [rows, outputs]));
  accumulateGradients(mean(mul(error, error)));
  const program = await device.compile(graph, { store });
  const optimizer = createOptimizer('adamw', store, adamw);
  const outer = new OuterStep(group, store, task);
  await outer.anchor();
  const weights = async () => (await Promise.all(names.map((name) => store.read(name)))).flatMap((part) => [...part]);
  const rounds: Record<keyof OuterRounds, number[][]> & { bytesSent: unknown[] } = {
    own: [],
    mean: [],
    common: [],
    bytesSent: [],
  };
  for (let step = 0; step < task.every * task.outerSteps; step++) {
    const { x, y } = batch(group.rank, step);
    await program.run({ x: Float32Array.from(x), y: Float32Array.from(y) });
    await optimizer.step(names, { learningRate: rate });
    outer.updates(names);
    if ((step + 1) % task.every > 0) continue;
    const own = await weights();
    rounds.own.push(own);
    rounds.mean.push((await group.sum(own)).map((value) => value / group.size));
    rounds.bytesSent.push((await outer.run()) as never);
    rounds.common.push(await weights());
  }
  store.dispose();
  return rounds as unknown as OuterRounds;
}

type Weights = Record<Name, number[]>;

function gradients({ A, B }: Weights, { x, y }: ReturnType<typeof batch>): Weights {
  const result: Weights = { A: A.map(() => 0), B: B.map(() => 0) };
  for (let r = 0; r < rows; r++) {
    const layer = Array.from({ length: hidden }, (_, h) => {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += x[r * inputs + i]! * A[i * hidden + h]!;
      return Math.tanh(sum);
    });
    const ofLayer = layer.map(() => 0);
    for (let o = 0; o < outputs; o++) {
      let sum = -y[r * outputs + o]!;
      for (let h = 0; h < hidden; h++) sum += layer[h]! * B[h * outputs + o]!;
      const slope = (2 * sum) / (rows * outputs);
      for (let h = 0; h < hidden; h++) {
        result.B[h * outputs + o]! += slope * layer[h]!;
        ofLayer[h]! += slope * B[h * outputs + o]!;
      }
    }
    for (let h = 0; h < hidden; h++) {
      const slope = ofLayer[h]! * (1 - layer[h]! ** 2);
      for (let i = 0; i < inputs; i++) result.A[i * hidden + h]! += slope * x[r * inputs + i]!;
    }
  }
  return result;
}

/** The common weights after each outer step of `ranks` ranks. */
export function golden(ranks: number, { every, outerSteps, learningRate, momentum }: OuterTask): number[][] {
  const common = structuredClone(initial) as Weights;
  const buffer: Weights = { A: common.A.map(() => 0), B: common.B.map(() => 0) };
  const state = Array.from({ length: ranks }, () => ({ m: structuredClone(buffer), v: structuredClone(buffer), t: 0 }));
  const history: number[][] = [];
  for (let outer = 0; outer < outerSteps; outer++) {
    const locals = state.map((moments, rank) => {
      const w = structuredClone(common);
      for (let step = outer * every; step < (outer + 1) * every; step++) {
        const g = gradients(w, batch(rank, step));
        moments.t++;
        for (const name of names) {
          for (let i = 0; i < w[name].length; i++) {
            const { m, v, t } = moments;
            m[name][i] = adamw.beta1 * m[name][i]! + (1 - adamw.beta1) * g[name][i]!;
            v[name][i] = adamw.beta2 * v[name][i]! + (1 - adamw.beta2) * g[name][i]! ** 2;
            const mean = m[name][i]! / (1 - adamw.beta1 ** t);
            const square = v[name][i]! / (1 - adamw.beta2 ** t);
            w[name][i]! -= rate * (mean / (Math.sqrt(square) + adamw.epsilon) + adamw.weightDecay * w[name][i]!);
          }
        }
      }
      return w;
    });
    for (const name of names) {
      for (let i = 0; i < common[name].length; i++) {
        const change = locals.reduce((sum, w) => sum + common[name][i]! - w[name][i]!, 0) / ranks;
        buffer[name][i] = momentum * buffer[name][i]! + change;
        common[name][i]! -= learningRate * (change + momentum * buffer[name][i]!);
      }
    }
    history.push(names.flatMap((name) => common[name]));
  }
  return history;
}
