/** AdamW (Loshchilov and Hutter 2019) over a parameter store: one native program computes norm, clipping and update. */
import { ApolloError, check } from '../errors.js';
import { BufferProgram } from './buffer-program.js';
import type { NativeProgram } from './native.js';
import { translated } from './native-error.js';
import type { BoundBuffer, ParameterStore } from './parameters.js';

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
  /** Gradients are scaled down to this L2 norm (over all tensors of a step); 0 = no clipping. */
  readonly maxNorm?: number;
}

export interface StepOptions {
  /** Learning rate of this step. */
  readonly lr: number;
  /** Factor on the accumulated gradients, e.g. 1 / micro-batches. */
  readonly gradScale?: number;
}

export interface StepResult {
  /** L2 norm of the scaled gradients before clipping. */
  readonly gradNorm: number;
  /** False when the norm was not finite: values, moments and counts are unchanged, the gradients zeroed. */
  readonly applied: boolean;
  readonly elapsedMs: number;
}

interface Update {
  readonly program: NativeProgram;
  readonly bound: readonly BoundBuffer[];
}

/**
 * ```ts
 * const adamw = new AdamW(store, { weightDecay: 0.01, maxNorm: 1 });
 * const { gradNorm } = await adamw.step(names, { lr: 1e-4 });
 * ```
 */
export class AdamW {
  readonly options: Required<AdamWOptions>;
  private readonly updates = new Map<string, Promise<Update>>();
  /** Steps run one after the other: each needs the counts the one before has left. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    readonly store: ParameterStore,
    { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, maxNorm = 1 }: AdamWOptions = {},
  ) {
    check(
      beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1,
      `beta1 and beta2 must lie in [0, 1); got ${beta1} and ${beta2}`,
    );
    check(epsilon > 0, `epsilon must be positive; got ${epsilon}`);
    check(weightDecay >= 0 && maxNorm >= 0, `weightDecay and maxNorm must be >= 0; got ${weightDecay} and ${maxNorm}`);
    this.options = { beta1, beta2, epsilon, weightDecay, maxNorm };
  }

  /**
   * One update of the named parameters from their accumulated gradients, which it zeroes.
   * @throws ApolloError BAD_ARGUMENT (no or unknown names, bad lr), CLOSED.
   */
  step(names: readonly string[], options: StepOptions): Promise<StepResult> {
    const step = this.last.then(() => this.apply([...names], options));
    this.last = step.catch(() => undefined);
    return step;
  }

  /** Frees the compiled updates. */
  dispose(): void {
    for (const update of this.updates.values())
      update.then(
        ({ program }) => program.dispose(),
        () => undefined,
      );
    this.updates.clear();
  }

  private async apply(names: string[], { lr, gradScale = 1 }: StepOptions): Promise<StepResult> {
    check(
      names.length > 0 && new Set(names).size === names.length,
      'AdamW.step needs distinct parameter names, at least one',
    );
    check(Number.isFinite(lr) && lr >= 0, `lr must be a number >= 0; got ${lr}`);
    check(Number.isFinite(gradScale) && gradScale > 0, `gradScale must be a positive number; got ${gradScale}`);
    this.store.checkOpen();
    const { program } = await this.update(names);
    const { beta1, beta2, epsilon, weightDecay, maxNorm } = this.options;
    const hyper = Float32Array.of(lr, beta1, beta2, epsilon, weightDecay, maxNorm, gradScale);
    const counts = Int32Array.from(names, (name) => this.store.count(name) + 1);
    const { outputs, elapsedMs } = await translated(() => program.run([hyper, counts], { profile: false }));
    const gradNorm = outputs[0]![0]! * gradScale;
    const applied = Number.isFinite(gradNorm);
    if (applied) names.forEach((name, i) => this.store.setCount(name, counts[i]!));
    return { gradNorm, applied, elapsedMs };
  }

  private async update(names: readonly string[]): Promise<Update> {
    const key = JSON.stringify(names);
    const known = this.updates.get(key);
    if (known) {
      const update = await known;
      if (!update.bound.some(({ removed }) => removed())) return update;
      update.program.dispose();
    }
    const update = this.compile(names);
    this.updates.set(key, update);
    update.catch(() => this.updates.delete(key));
    return update;
  }

  private async compile(names: readonly string[]): Promise<Update> {
    const program = new BufferProgram();
    const bound: BoundBuffer[] = [];
    const value = (kind: 'value' | 'workingCopy' | 'gradient' | 'm' | 'v', name: string): number => {
      const { shape } = this.store.spec(name);
      const buffer = this.store.bind(kind, name, shape);
      bound.push(buffer);
      return program.buffer(buffer.buffer, shape);
    };
    const hyper = program.transfer('input', 'f32', [7]);
    const counts = program.transfer('input', 'i32', [names.length]);
    const norm = program.transfer('output', 'f32', [1]);
    const gradients = names.map((name) => value('gradient', name));
    const tensors = names.map((name, i) => [
      value('value', name),
      gradients[i]!,
      value('m', name),
      value('v', name),
      ...(this.store.hasWorkingCopy(name) ? [value('workingCopy', name)] : []),
    ]);
    program.add('gradNorm', gradients, [norm]).add('adamw', [hyper, counts, norm], tensors.flat(), {
      decay: names.map((name) => Number(this.store.spec(name).decay)),
      hasShadow: names.map((name) => Number(this.store.hasWorkingCopy(name))),
    });
    const { native } = this.store.device;
    try {
      return { program: await program.compile(native), bound };
    } catch (error) {
      throw error instanceof ApolloError
        ? new ApolloError(error.code, `AdamW over ${names.length} parameters: ${error.message}`, { cause: error })
        : error;
    }
  }
}
