/**
 * The outer step of training with little communication (DiLoCo, Douillard et al. 2023, arXiv 2311.08105, algorithm 1): the
 * ranks average how their weights have changed since the last one, and move the common weights along that mean by SGD with
 * Nesterov's momentum. All on the device, in its queue.
 */
import { BufferProgram } from '../engine/buffer-program.js';
import { nativeOf } from '../engine/device.js';
import type { NativeBuffer, NativeProgram } from '../engine/native.js';
import { translated } from '../engine/native-error.js';
import type { StateSlot } from '../engine/optim/index.js';
import type { ParameterStore } from '../engine/parameters.js';
import { RunGroup } from '../engine/run-group.js';
import { rankFailed } from './agree.js';
import { type Group, nativeGroupOf } from './group.js';

export interface OuterOptions {
  readonly learningRate: number;
  /** Momentum of the mean change, in [0, 1). */
  readonly momentum: number;
}

/**
 * Its state per parameter, in f32: the weights after the last outer step, and the momentum. Both are in units of the
 * weights, which do not follow the scale of gradients.
 */
export const outerSlots: readonly StateSlot[] = [
  { name: 'anchor', power: 0 },
  { name: 'outerMomentum', power: 0 },
];

interface Compiled {
  readonly key: string;
  readonly removals: number;
  /** The gradient becomes the change, anchor - value. */
  readonly change: NativeProgram;
  /** Anchor and momentum move along the gradient, the value becomes the anchor, the gradient zero. */
  readonly apply: NativeProgram;
  readonly gradients: readonly NativeBuffer[];
}

export class OuterStep {
  readonly #changed = new Set<string>();
  #compiled: Compiled | undefined;

  /** Keeps `outerSlots` in the store. */
  constructor(
    private readonly group: Group,
    private readonly store: ParameterStore,
    private readonly options: OuterOptions,
  ) {
    store.keepAlso(outerSlots);
  }

  /** Parameters that were updated since the last outer step; the others have not changed on any rank. */
  get changed(): readonly string[] {
    return [...this.#changed];
  }

  /** To be called with what a step updates, the same on all ranks. */
  updates(names: Iterable<string>): void {
    for (const name of names) this.#changed.add(name);
  }

  /** Changes count from the weights as they are now: at the start of a run, and where other code has made them. */
  async anchor(): Promise<void> {
    this.#changed.clear();
    const { store } = this;
    const copies = store.names().map((name) => {
      const [anchor, value] = [store.bindSlot('anchor', name), store.bind('value', name, store.spec(name).shape)];
      return translated(() => anchor.buffer.copyFrom(value.buffer));
    });
    await Promise.all(copies);
  }

  /**
   * The outer step, behind all that is queued, once its programs are compiled. Afterwards the ranks have the same weights,
   * bit by bit. @returns the bytes that all ranks together have sent. @throws ApolloError RANK_FAILED, GROUP_FAILED, CLOSED.
   */
  async run(): Promise<number> {
    const names = this.store.names().filter((name) => this.#changed.has(name));
    if (names.length === 0) return 0;
    const { change, apply, gradients } = await this.#programs(names);
    const [runs, verdict] = [new RunGroup(), new RunGroup()];
    const changed = translated(() => change.run([], { profile: false, whole: true, stopped: runs.flag }));
    const average = this.#average(gradients, runs, verdict);
    const jobs = [
      changed,
      average,
      translated(() => apply.run([], { profile: false, whole: true, stopped: verdict.flag })),
    ];
    const failed = (await Promise.allSettled(jobs)).find(({ status }) => status === 'rejected');
    if (failed) throw (failed as PromiseRejectedResult).reason;
    this.#changed.clear();
    return average;
  }

  /** Frees the programs. */
  dispose(): void {
    this.#compiled?.change.dispose();
    this.#compiled?.apply.dispose();
    this.#compiled = undefined;
  }

  /** Averages the changes once they are computed; returns the bytes that all ranks together have sent. */
  async #average(gradients: readonly NativeBuffer[], { flag: stopped }: RunGroup, verdict: RunGroup): Promise<number> {
    const native = nativeGroupOf(this.group);
    if (!native) return 0;
    const { failed, bytes } = await translated(() =>
      native
        .exchange(gradients, {
          shared: [],
          precision: 'f32',
          weight: 1,
          sums: [],
          stopped,
          refused: verdict.flag,
          before: new RunGroup().flag,
        })
        .finish(),
    );
    if (failed > 0) throw rankFailed();
    return bytes;
  }

  async #programs(names: readonly string[]): Promise<Compiled> {
    const key = JSON.stringify(names);
    const { removals } = this.store;
    const known = this.#compiled;
    if (known?.key === key && known.removals === removals) return known;
    this.dispose();
    const native = nativeOf(this.store.device);
    const [change, apply] = [new BufferProgram(), new BufferProgram()];
    const gradients = names.map((name) => this.#add(name, change, apply));
    const programs = { change: await change.compile(native), apply: await apply.compile(native) };
    this.#compiled = { key, removals, gradients, ...programs };
    return this.#compiled;
  }

  /** Nesterov's momentum as in the paper's optimizer, PyTorch's SGD: b = mu b + g; w = w - rate (g + mu b). */
  #add(name: string, change: BufferProgram, apply: BufferProgram): NativeBuffer {
    const { store, options } = this;
    const { shape } = store.spec(name);
    const bound = {
      value: store.bind('value', name, shape).buffer,
      gradient: store.bind('gradient', name, shape).buffer,
      anchor: store.bindSlot('anchor', name).buffer,
      momentum: store.bindSlot('outerMomentum', name).buffer,
    };
    const [w, a, g] = [bound.value, bound.anchor, bound.gradient].map((buffer) => change.buffer(buffer)) as Three;
    change.add('binary', [a, w], [g], { kind: 'sub' });

    const [value, anchor, gradient] = [bound.value, bound.anchor, bound.gradient].map((b) => apply.buffer(b)) as Three;
    const momentum = apply.buffer(bound.momentum);
    const scale = (from: number, to: number, alpha: number) => apply.add('scale', [from], [to], { alpha, beta: 0 });
    scale(momentum, momentum, options.momentum);
    apply.add('binary', [momentum, gradient], [momentum], { kind: 'add' });
    scale(momentum, value, options.momentum); // the value is scratch until it becomes the anchor
    apply.add('binary', [value, gradient], [value], { kind: 'add' });
    scale(value, value, options.learningRate);
    apply.add('binary', [anchor, value], [anchor], { kind: 'sub' });
    apply.add('copy', [anchor], [value]);
    if (store.hasWorkingCopy(name)) {
      const copy = apply.buffer(store.bind('workingCopy', name, shape).buffer);
      apply.add('cast', [value], [copy]);
    }
    apply.add('fill', [], [gradient], { value: 0 });
    return bound.gradient;
  }
}

type Three = [number, number, number];
