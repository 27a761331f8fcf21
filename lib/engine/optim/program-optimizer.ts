/**
 * An optimizer whose step is one native program: the norm of all gradients, then each rule's op over the tensors that it
 * updates. Programs are compiled once for each list of names; all that changes between steps is their input.
 */

import { ApolloError, check } from '../../errors.js';
import * as is from '../../is.js';
import { BufferProgram } from '../buffer-program.js';
import { nativeOf } from '../device.js';
import { lossBufferShape, lossGuard } from '../loss-guard.js';
import type { Attribute, TypedArray } from '../native.js';
import { translated } from '../native-error.js';
import type { BoundBuffer, ParameterDeclaration, ParameterStore } from '../parameters.js';
import type { Optimizer, StepOptions, StepResult, Update } from './optimizer.js';
import { compileSharded } from './sharded-update.js';
import type { StateLayout } from './slots.js';

/**
 * How a group of parameters is updated: an op (hyper f32 [h], counts i32 [n], rates f32 [n], norm f32 [1]) -> per tensor
 * its value, gradient, state slots and bf16 working copy if it has one, all in place.
 */
export interface UpdateRule {
  readonly op: string;
  /** Whether it updates this parameter; the first rule that does is taken. */
  readonly takes: (spec: ParameterDeclaration) => boolean;
  /** Factor on the learning rate of all its tensors. */
  readonly rate: number;
  /** The scalars of a step. */
  readonly hyper: (learningRate: number, gradScale: number) => readonly number[];
  /** Attributes of the op's tensors other than `decay` and `hasShadow`. */
  readonly attributes: (specs: readonly ParameterDeclaration[]) => Record<string, Attribute>;
}

/** The tensors of a rule. */
export interface RuleGroup {
  readonly rule: UpdateRule;
  readonly names: readonly string[];
  /** Their places among the names of the update. */
  readonly places: readonly number[];
}

export interface CompiledUpdate {
  /** Three inputs each: scalars, counts and rates. */
  readonly groups: readonly RuleGroup[];
  readonly bound: readonly BoundBuffer[];
  /**
   * Queues it at the call. `counts`: of the updates of each tensor with this one, 0 where it is inactive, and 1 for the loss's
   * guard. `norm`: of the gradients as they are.
   */
  run(
    counts: Int32Array,
    inputs: readonly TypedArray[],
    stopped?: Int32Array,
  ): Promise<{ norm: number; elapsedMs: number; waitedMs: number; bytesSent?: number }>;
  dispose(): void;
}

interface Compiled extends CompiledUpdate {
  /** The store's removals when all that is bound was there. */
  removals: number;
}

const takesPrepare = is.takes('prepare', { names: is.list(is.string) });

const takesStep = is.takes('step', {
  names: is.list(is.string),
  options: is.options({
    learningRate: is.number,
    gradScale: is.optional(is.number),
    rateFactor: is.optional(is.func),
    active: is.optional(is.func),
    group: is.optional(is.runGroup),
  }),
});

export abstract class ProgramOptimizer implements Optimizer {
  readonly #updates = new Map<string, Promise<Compiled>>();
  /** Steps run one after the other: each needs the counts the one before has left. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    /** The store whose parameters are updated. It also holds gradients and state. */
    readonly store: ParameterStore,
    /** State slots per parameter: 'm' and 'v' for AdamW, 'momentum' for Muon's matrices. */
    readonly state: StateLayout,
    private readonly rules: readonly UpdateRule[],
  ) {
    store.keepState(state);
  }

  get name(): string {
    return this.state.optimizer;
  }

  async step(names: readonly string[], options: StepOptions): Promise<StepResult> {
    takesStep(names, options);
    const step = this.#last.then(async () => (await this.prepare(names)).run(options));
    this.#last = step.catch(() => undefined);
    return step;
  }

  async prepare(names: readonly string[]): Promise<Update> {
    takesPrepare(names);
    check(
      names.length > 0 && new Set(names).size === names.length,
      `an optimizer's step needs distinct parameter names, at least one`,
    );
    this.store.checkOpen();
    const own = [...names];
    const compiled = await this.#compiled(own);
    return { run: (options) => this.#apply(compiled, own, options) };
  }

  dispose(): void {
    for (const update of this.#updates.values())
      update.then(
        (compiled) => compiled.dispose(),
        () => undefined,
      );
    this.#updates.clear();
  }

  /** Runs up to the device's queue without waiting. */
  async #apply(
    compiled: Compiled,
    names: readonly string[],
    { learningRate, gradScale = 1, rateFactor = () => 1, active = () => true, group }: StepOptions,
  ): Promise<StepResult> {
    check(
      Number.isFinite(learningRate) && learningRate >= 0,
      `learningRate must be a number >= 0; got ${learningRate}`,
    );
    check(Number.isFinite(gradScale) && gradScale > 0, `gradScale must be a positive number; got ${gradScale}`);
    this.store.checkOpen();
    const counts = new Int32Array(names.length + 1).fill(1); // the last one, of the loss's guard, always counts
    const rates = names.map((name, i) => {
      counts[i] = active(name) ? this.store.count(name) + 1 : 0;
      const factor = rateFactor(name);
      if (Number.isFinite(factor) && factor >= 0) return factor;
      throw new ApolloError('BAD_ARGUMENT', `rateFactor('${name}') must be a number >= 0; got ${factor}`);
    });
    const inputs = compiled.groups.flatMap(({ rule, places }) => [
      Float32Array.from(rule.hyper(learningRate, gradScale)),
      Int32Array.from(places, (i) => counts[i]!),
      Float32Array.from(places, (i) => rule.rate * rates[i]!),
    ]);
    const { norm, elapsedMs, waitedMs, bytesSent } = await compiled.run(counts, inputs, group?.flag);
    const gradNorm = norm * gradScale;
    const applied = Number.isFinite(gradNorm);
    if (applied) names.forEach((name, i) => counts[i]! > 0 && this.store.setCount(name, counts[i]!));
    return { gradNorm, applied, elapsedMs, waitedMs, bytesSent };
  }

  async #compiled(names: readonly string[]): Promise<Compiled> {
    const key = JSON.stringify(names);
    const known = this.#updates.get(key);
    if (known) {
      const update = await known;
      const { removals } = this.store;
      if (update.removals === removals || !update.bound.some(({ removed }) => removed())) {
        update.removals = removals;
        return update;
      }
      update.dispose();
    }
    const update = this.#compile(names);
    this.#updates.set(key, update);
    update.catch(() => this.#updates.delete(key));
    return update;
  }

  /** The names by rule, in their order. */
  #groupsOf(names: readonly string[]): RuleGroup[] {
    const groups = this.rules.map((rule) => ({ rule, names: [] as string[], places: [] as number[] }));
    for (const [place, name] of names.entries()) {
      const spec = this.store.spec(name);
      const group = groups.find(({ rule }) => rule.takes(spec));
      check(group, `optimizer ${this.name} has no rule for parameter '${name}'`);
      group.names.push(name);
      group.places.push(place);
    }
    return groups.filter(({ names: tensors }) => tensors.length > 0);
  }

  async #compile(names: readonly string[]): Promise<Compiled> {
    const { store } = this;
    const { removals, shards } = store;
    const groups = this.#groupsOf(names);
    try {
      const update = shards
        ? await compileSharded(store, shards, names, groups)
        : await this.#compileWhole(names, groups);
      return { ...update, removals };
    } catch (error) {
      throw error instanceof ApolloError
        ? new ApolloError(error.code, `${this.name} over ${names.length} parameters: ${error.message}`, {
            cause: error,
          })
        : error;
    }
  }

  async #compileWhole(names: readonly string[], groups: readonly RuleGroup[]): Promise<CompiledUpdate> {
    const program = new BufferProgram();
    const bound: BoundBuffer[] = [];
    const use = (name: string, buffer: BoundBuffer): number => {
      bound.push(buffer);
      return program.buffer(buffer.buffer, this.store.spec(name).shape);
    };
    const value = (kind: 'value' | 'workingCopy' | 'gradient', name: string) =>
      use(name, this.store.bind(kind, name, this.store.spec(name).shape));
    const counts = program.transfer('input', 'i32', [names.length + 1]);
    const norm = program.transfer('output', 'f32', [1]);
    const gradients = new Map(names.map((name) => [name, value('gradient', name)]));
    const guard = program.buffer(this.store.bind('gradient', lossGuard, lossBufferShape).buffer, lossBufferShape);
    program.add('gradNorm', [counts, ...gradients.values(), guard], [norm]);
    program.add('fill', [], [guard], { value: 0 });
    for (const { rule, names: tensors } of groups) {
      const inputs = [
        program.transfer('input', 'f32', [rule.hyper(0, 1).length]),
        program.transfer('input', 'i32', [tensors.length]),
        program.transfer('input', 'f32', [tensors.length]),
        norm,
      ];
      const outputs = tensors.map((name) => [
        value('value', name),
        gradients.get(name)!,
        ...this.state.of(this.store.spec(name)).slots.map((slot) => use(name, this.store.bindSlot(slot.name, name))),
        ...(this.store.hasWorkingCopy(name) ? [value('workingCopy', name)] : []),
      ]);
      const specs = tensors.map((name) => this.store.spec(name));
      program.add(rule.op, inputs, outputs.flat(), {
        decay: specs.map(({ decay }) => Number(decay)),
        hasShadow: tensors.map((name) => Number(this.store.hasWorkingCopy(name))),
        ...rule.attributes(specs),
      });
    }
    const native = await program.compile(nativeOf(this.store.device));
    const run = async (active: Int32Array, inputs: readonly TypedArray[], stopped?: Int32Array) => {
      const { outputs, elapsedMs, waitedMs } = await translated(() =>
        native.run([active, ...inputs], { profile: false, whole: true, ...(stopped && { stopped }) }),
      );
      return { norm: outputs[0]![0]!, elapsedMs, waitedMs };
    };
    return { run, groups, bound, dispose: () => native.dispose() };
  }
}
