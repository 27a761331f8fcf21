/**
 * Where parameters live: per name an f32 master value, a bf16 working copy (bf16 runs), an f32 gradient and what the
 * optimizer keeps of it, all persistent device buffers. Programs and the optimizer refer to them by name.
 */
import { ApolloError, check } from '../errors.js';
import { BufferProgram } from './buffer-program.js';
import { type Device, nativeOf } from './device.js';
import { lossBufferShape, lossBuffers, lossSum } from './loss-guard.js';
import type { BufferKind } from './lowering.js';
import type { NativeBuffer, NativeGroup } from './native.js';
import { translated } from './native-error.js';
import type { StateShards } from './optim/shards.js';
import type { Moments, StateLayout, StateSlot } from './optim/slots.js';
import { checkShape, formatShape, type Shape } from './shape.js';
import { ParameterBuffers } from './store/buffers.js';
import * as takes from './store/checks.js';
import { buffersOf, type Entry, newEntry, type ParameterDeclaration } from './store/entry.js';
import { type MomentCopy, OptimizerState } from './store/optimizer-state.js';
import { type RebuiltParameter, rebuiltEntries } from './store/rebuild.js';

export type { MomentCopy, ParameterDeclaration, RebuiltParameter };

/** A buffer and whether it still belongs to the store. */
export interface BoundBuffer {
  readonly buffer: NativeBuffer;
  readonly removed: () => boolean;
}

/**
 * Parameters on a device by name: f32 values, gradients, the optimizer's state, and a bf16 working copy where one is
 * asked for.
 * @example
 * const store = new ParameterStore(device);
 * store.declare({ name: 'w', shape: [2, 3], workingCopy: false, decay: true });
 * await store.write('w', new Float32Array(6));
 */
export class ParameterStore {
  /** 'bf16': parameters declared with `workingCopy` have a bf16 copy next to the f32 value. Default f32. */
  readonly precision: 'f32' | 'bf16';
  readonly #entries = new Map<string, Entry>();
  readonly #losses = new Map(
    lossBuffers.map((name) => [name, newEntry({ name, shape: lossBufferShape, workingCopy: false, decay: false })]),
  );
  readonly #buffers: ParameterBuffers;
  readonly #state: OptimizerState;
  #disposed = false;
  /**
   * Parameters removed so far: while it stays, what was bound is still there.
   * @internal
   */
  removals = 0;

  constructor(
    /** The device that holds all buffers of the store. */
    readonly device: Device,
    /** Whether parameters have a bf16 working copy. */
    options: {
      /** 'bf16': those declared with `workingCopy` have a bf16 copy next to the f32 value. Default: 'f32', no copies. */
      readonly precision: 'f32' | 'bf16';
    } = { precision: 'f32' },
  ) {
    takes.newStore(device, options);

    this.precision = options.precision;
    check(
      this.precision === 'f32' || this.precision === 'bf16',
      `precision must be 'f32' or 'bf16'; got '${options.precision}'`,
    );
    this.#buffers = new ParameterBuffers(device, this.precision);
    this.#state = new OptimizerState(this.#buffers);
  }

  /**
   * How the optimizer's state is divided, where ranks share it.
   * @internal
   */
  get shards(): StateShards | undefined {
    return this.#state.shards;
  }

  /** Adds a parameter of zeros. @throws ApolloError BAD_ARGUMENT when the name exists, BAD_SHAPE. */
  declare(spec: ParameterDeclaration): void {
    takes.declare(spec);

    this.checkOpen();
    check(
      !this.#entries.has(spec.name),
      `parameter '${spec.name}' is declared already; remove it first or choose another name`,
    );
    check(!this.#losses.has(spec.name), `'${spec.name}' is taken by the engine; choose another name for the parameter`);
    checkShape(`parameter '${spec.name}'`, spec.shape);
    this.#entries.set(spec.name, newEntry({ ...spec }));
    this.shards?.add(spec);
  }

  /**
   * Keeps an optimizer's state from now on; its constructor calls this.
   * @throws ApolloError BAD_ARGUMENT when another optimizer's state is kept.
   */
  keepState(layout: StateLayout): void {
    takes.keepState(layout);

    this.#state.keep(layout);
  }

  /**
   * Keeps a share of the optimizer's state from now on, as the other ranks of the group do: they declare the same parameters,
   * and `moments` and `copy` are collective.
   * @throws ApolloError BAD_ARGUMENT before there is an optimizer, or when there are parameters.
   * @internal
   */
  shardState(group: NativeGroup): void {
    takes.shardState(group);

    this.#state.shard(group, this.#entries.size === 0);
  }

  /**
   * Keeps further f32 arrays of every parameter next to the optimizer's state, which are stored, grown and counted as it is.
   * @throws ApolloError BAD_ARGUMENT when others are kept.
   * @internal
   */
  keepAlso(slots: readonly StateSlot[]): void {
    takes.keepAlso(slots);

    this.#state.keepAlso(slots);
  }

  /** The state of a parameter: the optimizer's, and arrays that `keepAlso` has added. @throws ApolloError BAD_ARGUMENT for an unknown name. */
  slots(name: string): readonly StateSlot[] {
    takes.slots(name);

    return this.#state.of(this.#entry(name)).slots;
  }

  /** Whether a parameter of this name is declared. @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong. */
  has(name: string): boolean {
    takes.has(name);

    return this.#entries.has(name);
  }

  /** In the order of declaration. */
  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** The declaration of a parameter. @throws {ApolloError} BAD_ARGUMENT for an unknown name. */
  spec(name: string): ParameterDeclaration {
    takes.spec(name);

    return this.#entry(name).spec;
  }

  /**
   * Sets the value (row-major), and the working copy with it. Until the promise is settled `values` must stay as they are, and
   * what is queued may meet a part of them.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async write(name: string, values: Float32Array): Promise<void> {
    takes.write(name, values);

    const entry = this.#entry(name);
    const buffers = this.#buffers;
    await buffers.upload(entry, buffers.of(entry, 'value'), values);
    await buffers.refresh(entry);
  }

  /**
   * The f32 master value.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async read(name: string): Promise<Float32Array> {
    takes.read(name);

    return this.#buffers.download(this.#entry(name), 'value');
  }

  /**
   * The optimizer's state; zeros before the first update. Where ranks share it, all of them call this; with `root` that rank
   * alone gets the values, the others empty ones.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async moments(name: string, root?: number): Promise<Moments> {
    takes.moments(name, root);

    return this.#state.read(this.#entry(name), root);
  }

  /**
   * Sets the optimizer's state of a parameter: f32 values by slot, and its count of updates.
   * @param name Name of the parameter.
   * @param moments Its new state.
   * @throws {ApolloError} BAD_ARGUMENT unless `slots` are those that the optimizer keeps, in any order.
   */
  async writeMoments(
    name: string,
    moments: {
      /** One entry for each slot of the optimizer: its name and as many f32 values as the parameter has. */
      slots: readonly { name: string; values: Float32Array }[];
      /** Number of updates that the parameter has had, from 0. */
      count: number;
    },
  ): Promise<void> {
    takes.writeMoments(name, moments);
    await this.#state.write(this.#entry(name), moments);
  }

  /**
   * Sets the optimizer's state of a parameter to zero, on the device, and its step count with it.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async zeroMoments(name: string): Promise<void> {
    takes.zeroMoments(name);

    await this.#state.zero(this.#entry(name));
  }

  /**
   * Updates so far, where the optimizer counts them; else 0.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  count(name: string): number {
    takes.count(name);

    return this.#entry(name).count;
  }

  /** Sets how many updates a parameter has had. @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong. */
  setCount(name: string, count: number): void {
    takes.setCount(name, count);

    this.#state.setCount(this.#entry(name), count);
  }

  /**
   * Copies a parameter's value and working copy onto another of the same shape, on the device; the optimizer's
   * state of it by `moments`: 'copy', 'zero' (count 0 too), 'keep' the destination's, or a copy scaled.
   * @param from Name of the parameter that is copied.
   * @param to Name of the parameter that is overwritten.
   * @param options What is done with the optimizer's state.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async copy(
    from: string,
    to: string,
    options: {
      /** What the destination's optimizer state becomes. */
      readonly moments: MomentCopy;
    },
  ): Promise<void> {
    takes.copy(from, to, options);
    const { moments } = options;
    const [source, target] = [this.#entry(from), this.#entry(to)];
    check(
      source.elements === target.elements,
      `copy: '${from}' ${formatShape(source.spec.shape)} and '${to}' ${formatShape(target.spec.shape)} differ in size`,
    );
    if (source === target) return;
    const [buffers, state] = [this.#buffers, this.#state];
    const value = translated(() => buffers.of(target, 'value').copyFrom(buffers.of(source, 'value')));
    await Promise.all([value, state.copy(source, target, moments)]);
    await buffers.refresh(target);
  }

  /**
   * Replaces all parameters by others that are computed from them, on the device. Where an expression fails, all stay as they
   * were. Until the old ones are freed the store holds both.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong; BAD_SHAPE where an expression has another shape than
   * its parameter.
   * @internal
   */
  async rebuild(parameters: readonly RebuiltParameter[]): Promise<void> {
    takes.rebuild(parameters);

    this.checkOpen();
    const [buffers, state] = [this.#buffers, this.#state];
    const rebuilt = await rebuiltEntries({ buffers, state, entry: (name) => this.#entry(name) }, parameters);
    for (const name of this.names()) this.remove(name);
    for (const { entry, shared } of rebuilt) {
      this.#entries.set(entry.spec.name, entry);
      this.shards?.add(entry.spec);
      if (shared) await state.write(entry, { slots: shared, count: entry.count });
    }
  }

  /**
   * The gradients that accumulateGradients has added since the last update.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async gradient(name: string): Promise<Float32Array> {
    takes.gradient(name);

    return this.#buffers.download(this.#entry(name), 'gradient');
  }

  /** The loss that backward passes with `sumLoss` have added since the last call. The work is queued immediately. */
  async takeLoss(): Promise<number> {
    const buffer = this.#buffers.of(this.#entry(lossSum), 'gradient');
    const [values] = await translated(() => Promise.all([buffer.read(0, 1), buffer.write(new Float32Array(1), 0)]));
    return values[0]!;
  }

  /** Sets all gradients to zero (an optimizer's step does so by itself). */
  async zeroGradients(): Promise<void> {
    this.checkOpen();
    const program = new BufferProgram();
    for (const { buffers } of this.#all()) {
      if (buffers.gradient) program.add('fill', [], [program.buffer(buffers.gradient)], { value: 0 });
    }
    await program.runOnce(nativeOf(this.device));
  }

  /**
   * Forgets a parameter; programs that use it throw CLOSED from now on. Its memory is freed when the last of them is
   * disposed.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  remove(name: string): void {
    takes.remove(name);

    const entry = this.#entry(name);
    this.#buffers.release(entry);
    this.shards?.remove(entry.spec);
    this.#entries.delete(name);
    this.removals++;
  }

  /** Bytes of all buffers made so far. */
  get bytes(): number {
    let total = 0;
    for (const entry of this.#all()) for (const { bytes } of buffersOf(entry)) total += bytes;
    return total;
  }

  /** Frees all buffers; every later call throws CLOSED. */
  dispose(): void {
    if (this.#disposed) return;
    for (const entry of this.#all()) this.#buffers.release(entry);
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Throws CLOSED after dispose() or when the device is closed.
   * @internal
   */
  checkOpen(): void {
    if (this.#disposed) throw new ApolloError('CLOSED', 'the parameter store was disposed; make a new one');
    this.device.checkOpen();
  }

  /**
   * Whether `name` has a bf16 working copy.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   * @internal
   */
  hasWorkingCopy(name: string): boolean {
    takes.hasWorkingCopy(name);

    return this.#buffers.keepsCopy(this.#entry(name));
  }

  /**
   * The device buffer behind a program's value, for compilation.
   * @throws ApolloError BAD_ARGUMENT when the parameter is unknown, of another shape, or has no working copy.
   * @internal
   */
  bind(kind: BufferKind, name: string, shape: Shape): BoundBuffer {
    takes.bind(kind, name, shape);

    const entry = this.#entry(name);
    const declared = entry.spec.shape;
    check(
      formatShape(shape) === formatShape(declared),
      `parameter '${name}' is ${formatShape(declared)} in the store and ${formatShape(shape)} in the graph`,
    );
    check(
      kind !== 'workingCopy' || this.#buffers.keepsCopy(entry),
      `parameter '${name}' has no bf16 working copy (store precision '${this.precision}', workingCopy ${entry.spec.workingCopy}); ask for it as f32`,
    );
    return { buffer: this.#buffers.of(entry, kind), removed: () => entry.removed };
  }

  /**
   * The device buffer of a slot of the optimizer's state, or of this rank's part of it.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   * @internal
   */
  bindSlot(slot: string, name: string): BoundBuffer {
    takes.bindSlot(slot, name);

    const entry = this.#entry(name);
    return { buffer: this.#state.slot(entry, slot), removed: () => entry.removed };
  }

  #all(): Entry[] {
    return [...this.#entries.values(), ...this.#losses.values()];
  }

  #entry(name: string): Entry {
    this.checkOpen();
    const entry = this.#losses.get(name) ?? this.#entries.get(name);
    if (entry) return entry;
    const names = this.names();
    throw new ApolloError(
      'BAD_ARGUMENT',
      `parameter '${name}' is not declared; the store has ${names.length}: ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`,
    );
  }
}
