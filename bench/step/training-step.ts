/** One whole training step (forward, backward, clipping, AdamW) of a model on fixed random tokens, ready to be timed. */

import { mlmCapacity } from '../../lib/data/index.js';
import { AdamW, accumulateGradients, type Device, Graph, ParameterStore } from '../../lib/engine/index.js';
import { createModel, initialiseParameters, type ModelConfig, modelWeights } from '../../lib/models/index.js';
import { uniform } from '../../lib/random/philox.js';

export interface TrainingStep {
  /** Products' FLOPs of one step as executed, by `program.flops`. */
  readonly flops: number;
  readonly tokens: number;
  /** Wall time of one step as JavaScript sees it, and the part of it spent in native code, ms. */
  run(): Promise<{ wallMs: number; nativeMs: number; loss: number }>;
  /** Frees its program. */
  dispose(): void;
  /** Where a step spends its time: nanoseconds by op (`byShape`: by op and operands), largest first. */
  profile(byShape: boolean): Promise<{ op: string; ns: number; uses: number }[]>;
}

export interface StepOptions {
  readonly batch: number;
  readonly seq: number;
  readonly precision: 'f32' | 'bf16';
  readonly depth: number;
}

/** The store and optimiser of one model, from which steps of any depth are made. */
export class StepBench {
  private constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
    private readonly store: ParameterStore,
    private readonly optimizer: AdamW,
  ) {}

  static async create(device: Device, config: ModelConfig, precision: 'f32' | 'bf16'): Promise<StepBench> {
    const store = new ParameterStore(device, { precision });
    await initialiseParameters(store, createModel(config), config.layers, 1);
    const optimizer = new AdamW(store, { weightDecay: 0.01, maxNorm: 1 });
    return new StepBench(device, config, store, optimizer);
  }

  dispose(): void {
    this.optimizer.dispose();
    this.store.dispose();
  }

  async step({ batch, seq, precision, depth }: StepOptions): Promise<TrainingStep> {
    const { config, device, store, optimizer } = this;
    const model = createModel(config);
    const targets = mlmCapacity(batch * seq);
    const graph = new Graph();
    const { loss } = model.trace(
      graph,
      modelWeights(graph, model, precision),
      { batch, seq, padding: false, ...(model.objective === 'masked' && { targets }) },
      { layerMap: Array.from({ length: depth }, (_, layer) => layer), training: true },
    );
    graph.output('loss', loss);
    const names = accumulateGradients(loss);
    const program = await device.compile(graph, { store });

    const random = (stream: number, count: number, below: number) =>
      Int32Array.from({ length: count }, (_, i) => Math.floor(uniform(7, stream, i) * below));
    const tokens = random(1, batch * seq, config.vocabSize);
    const inputs: Record<string, Int32Array> =
      model.objective === 'causal'
        ? { tokens, labels: tokens.map((_, i) => ((i + 1) % seq === 0 ? -100 : tokens[i + 1]!)) }
        : {
            tokens,
            positions: Int32Array.from({ length: targets }, (_, i) => (i * 6) % (batch * seq)),
            labels: random(2, targets, config.vocabSize).map((label, i) => (i * 6 < batch * seq ? label : -100)),
          };
    let counter = 0;
    const drops = graph.inputs.has('rng');
    const nextInputs = () => ({ ...inputs, ...(drops && { rng: Int32Array.of(1, 0, ++counter, 0) }) });
    return {
      flops: program.flops,
      tokens: batch * seq,
      dispose: () => program.dispose(),
      async run() {
        const start = performance.now();
        const { outputs, elapsedMs } = await program.run(nextInputs());
        const update = await optimizer.step(names, { learningRate: 1e-4 });
        return { wallMs: performance.now() - start, nativeMs: elapsedMs + update.elapsedMs, loss: outputs.loss![0]! };
      },
      async profile(byShape) {
        const { profile } = await program.run(nextInputs(), { profile: true });
        const update = await optimizer.step(names, { learningRate: 1e-4 });
        const byOp = new Map<string, { op: string; ns: number; uses: number }>();
        const times = [...(profile ?? []), { op: 'update', name: '', ns: update.elapsedMs * 1e6 }];
        for (const { op, name, ns } of times) {
          if (ns === 0) continue; // fused into another
          const key = byShape ? `${op} ${name}`.trim() : op;
          const entry = byOp.get(key) ?? { op: key, ns: 0, uses: 0 };
          entry.ns += ns;
          entry.uses += 1;
          byOp.set(key, entry);
        }
        return [...byOp.values()].sort((a, b) => b.ns - a.ns);
      },
    };
  }
}
