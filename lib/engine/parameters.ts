/**
 * Where parameters live: per name an f32 master value, a bf16 working copy (bf16 runs), an f32 gradient and what the
 * optimizer keeps of it, all persistent device buffers. Programs and the optimizer refer to them by name.
 */
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import { scaledValues } from '../pauses.js';
import { BufferProgram } from './buffer-program.js';
import type { Device } from './device.js';
import { lossBufferShape, lossBuffers, lossSum } from './loss-guard.js';
import type { BufferKind } from './lowering.js';
import type { NativeBuffer, NativeGroup, NativeProgram } from './native.js';
import { translated } from './native-error.js';
import { type Span, StateShards } from './optim/shards.js';
import {
  type MomentSlot,
  type Moments,
  type ParameterState,
  type StateLayout,
  type StateSlot,
  slotFactor,
} from './optim/slots.js';
import { checkShape, formatShape, type Shape, size } from './shape.js';

export interface ParameterDeclaration {
  readonly name: string;
  readonly shape: Shape;
  /** Keep a bf16 copy when the store's precision is bf16 (matrices; not for vectors, which stay f32). */
  readonly workingCopy: boolean;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /**
   * Of a hidden layer's weights [inputs, outputs]: the widths of the matrices that stand side by side in its columns, e.g.
   * [C, C, C] of fused queries, keys and values, or [outputs]. Absent for embeddings, heads and vectors.
   */
  readonly matrices?: readonly number[] | undefined;
}

/**
 * How the destination's optimizer state comes about in `copy`; `scale`: as the source's, for gradients that become
 * `scale` times what they were.
 */
export type MomentCopy = 'copy' | 'zero' | 'keep' | { readonly scale: number };

/** Elements that are handed to the device at once, and how many such pieces wait for it at a time. */
const uploadElements = 2 ** 19;
const queuedUploads = 2;

/** Nothing is kept while no optimizer has declared its state. */
const stateless: ParameterState = { slots: [], counted: true };

interface Entry {
  readonly spec: ParameterDeclaration;
  readonly elements: number;
  /** Made when first needed, zeros. */
  readonly buffers: Partial<Record<BufferKind, NativeBuffer>>;
  /** The optimizer's, by slot; likewise. */
  readonly slots: Map<string, NativeBuffer>;
  refresh?: Promise<NativeProgram>;
  count: number;
  removed: boolean;
}

const newEntry = (spec: ParameterDeclaration): Entry => ({
  spec,
  elements: size(spec.shape),
  buffers: {},
  slots: new Map(),
  count: 0,
  removed: false,
});

/** A buffer and whether it still belongs to the store. */
export interface BoundBuffer {
  readonly buffer: NativeBuffer;
  readonly removed: () => boolean;
}

const buffersOf = ({ buffers, slots }: Entry): NativeBuffer[] => [...Object.values(buffers), ...slots.values()];

async function readAll(buffer: NativeBuffer): Promise<Float32Array> {
  return (await translated(() => buffer.read(0, buffer.elements))) as Float32Array;
}

const takesParameterStoreBindSlot = is.takes('ParameterStore.bindSlot', { slot: is.string, name: is.string });

const takesParameterStoreBind = is.takes('ParameterStore.bind', { kind: is.string, name: is.string, shape: is.shape });

const takesParameterStoreHasWorkingCopy = is.takes('ParameterStore.hasWorkingCopy', { name: is.string });

const takesParameterStoreRemove = is.takes('ParameterStore.remove', { name: is.string });

const takesParameterStoreGradient = is.takes('ParameterStore.gradient', { name: is.string });

const takesParameterStoreCopy = is.takes('ParameterStore.copy', {
  from: is.string,
  to: is.string,
  options: is.options({
    moments: is.either(is.oneOf('copy', 'zero', 'keep'), is.object('{ scale }', { scale: is.number })),
  }),
});

const takesParameterStoreSetCount = is.takes('ParameterStore.setCount', { name: is.string, count: is.number });

const takesParameterStoreCount = is.takes('ParameterStore.count', { name: is.string });

const takesParameterStoreWriteMoments = is.takes('ParameterStore.writeMoments', {
  name: is.string,
  moments: is.object('moments { slots, count }', {
    slots: is.list(is.object('a slot { name, values }', { name: is.string, values: is.float32 })),
    count: is.index,
  }),
});

const takesParameterStoreZeroMoments = is.takes('ParameterStore.zeroMoments', { name: is.string });

const takesParameterStoreMoments = is.takes('ParameterStore.moments', { name: is.string, root: is.optional(is.index) });

const takesParameterStoreShardState = is.takes('ParameterStore.shardState', {
  group: is.having('a NativeGroup', ['collect', 'allGather', 'sumDoubles']),
});

const takesParameterStoreRead = is.takes('ParameterStore.read', { name: is.string });

const takesParameterStoreWrite = is.takes('ParameterStore.write', { name: is.string, values: is.float32 });

const takesParameterStoreSpec = is.takes('ParameterStore.spec', { name: is.string });

const takesParameterStoreHas = is.takes('ParameterStore.has', { name: is.string });

const takesParameterStoreSlots = is.takes('ParameterStore.slots', { name: is.string });

const takesParameterStoreKeepState = is.takes('ParameterStore.keepState', { layout: is.stateLayout });

const takesParameterStoreDeclare = is.takes('ParameterStore.declare', {
  spec: is.object('a parameter declaration', {
    name: is.name,
    shape: is.shape,
    workingCopy: is.boolean,
    decay: is.boolean,
    matrices: is.optional(is.shape),
  }),
});

const takesNewParameterStore = is.takes('new ParameterStore', {
  device: is.device,
  options: is.options({ precision: is.precision }),
});

export class ParameterStore {
  readonly precision: 'f32' | 'bf16';
  private readonly entries = new Map<string, Entry>();
  private readonly losses = new Map(
    lossBuffers.map((name) => [name, newEntry({ name, shape: lossBufferShape, workingCopy: false, decay: false })]),
  );
  private layout: StateLayout | undefined;
  /** How the optimizer's state is divided, where ranks share it. */
  shards: StateShards | undefined;
  private disposed = false;
  /** Parameters removed so far: while it stays, what was bound is still there. */
  removals = 0;

  constructor(
    readonly device: Device,
    options: { readonly precision: 'f32' | 'bf16' } = { precision: 'f32' },
  ) {
    takesNewParameterStore(device, options);

    this.precision = options.precision;
    check(
      this.precision === 'f32' || this.precision === 'bf16',
      `precision must be 'f32' or 'bf16'; got '${options.precision}'`,
    );
  }

  /** Adds a parameter of zeros. @throws ApolloError BAD_ARGUMENT when the name exists, BAD_SHAPE. */
  declare(spec: ParameterDeclaration): void {
    takesParameterStoreDeclare(spec);

    this.checkOpen();
    check(
      !this.entries.has(spec.name),
      `parameter '${spec.name}' is declared already; remove it first or choose another name`,
    );
    check(!this.losses.has(spec.name), `'${spec.name}' is taken by the engine; choose another name for the parameter`);
    checkShape(`parameter '${spec.name}'`, spec.shape);
    this.entries.set(spec.name, newEntry({ ...spec }));
    this.shards?.add(spec);
  }

  /**
   * Keeps an optimizer's state from now on; its constructor calls this.
   * @throws ApolloError BAD_ARGUMENT when another optimizer's state is kept.
   */
  keepState(layout: StateLayout): void {
    takesParameterStoreKeepState(layout);

    check(
      this.layout === undefined || this.layout === layout,
      `the store keeps the state of ${this.layout?.optimizer}, not of ${layout.optimizer}; use another store`,
    );
    this.layout = layout;
  }

  /**
   * Keeps a share of the optimizer's state from now on, as the other ranks of the group do: they declare the same parameters,
   * and `moments` and `copy` are collective.
   * @throws ApolloError BAD_ARGUMENT before there is an optimizer, or when there are parameters.
   */
  shardState(group: NativeGroup): void {
    takesParameterStoreShardState(group);

    check(this.layout !== undefined, 'shardState: make the optimizer first, whose state is divided among the ranks');
    check(
      this.entries.size === 0,
      'shardState: the store must be empty, for state is divided as parameters are declared',
    );
    this.shards = new StateShards(group, this.layout);
  }

  /** What the optimizer keeps of a parameter. @throws ApolloError BAD_ARGUMENT for an unknown name. */
  slots(name: string): readonly StateSlot[] {
    takesParameterStoreSlots(name);

    return this.stateOf(this.entry(name)).slots;
  }

  has(name: string): boolean {
    takesParameterStoreHas(name);

    return this.entries.has(name);
  }

  /** In the order of declaration. */
  names(): string[] {
    return [...this.entries.keys()];
  }

  /** @throws ApolloError BAD_ARGUMENT for an unknown name. */
  spec(name: string): ParameterDeclaration {
    takesParameterStoreSpec(name);

    return this.entry(name).spec;
  }

  /**
   * Sets the value (row-major), and the working copy with it. Until the promise is settled `values` must stay as they are, and
   * what is queued may meet a part of them.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async write(name: string, values: Float32Array): Promise<void> {
    takesParameterStoreWrite(name, values);

    const entry = this.entry(name);
    await this.upload(entry, this.buffer(entry, 'value'), values);
    await this.refresh(entry);
  }

  /**
   * The f32 master value.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async read(name: string): Promise<Float32Array> {
    takesParameterStoreRead(name);

    return this.download(this.entry(name), 'value');
  }

  /**
   * The optimizer's state; zeros before the first update. Where ranks share it, all of them call this; with `root` that rank
   * alone gets the values, the others empty ones.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async moments(name: string, root?: number): Promise<Moments> {
    takesParameterStoreMoments(name, root);

    const entry = this.entry(name);
    const { shards } = this;
    const slots = this.stateOf(entry).slots.map(async (slot) => {
      if (shards) {
        const own = shards.own(name).count > 0 ? this.slot(entry, slot.name) : undefined;
        return { ...slot, values: await translated(() => shards.group.collect(own, shards.counts(name), root)) };
      }
      const buffer = entry.slots.get(slot.name);
      return { ...slot, values: buffer ? await readAll(buffer) : new Float32Array(entry.elements) };
    });
    return { slots: await Promise.all(slots), count: entry.count };
  }

  /** @throws ApolloError BAD_ARGUMENT unless `slots` are those that the optimizer keeps, in any order. */
  async writeMoments(
    name: string,
    moments: { slots: readonly { name: string; values: Float32Array }[]; count: number },
  ): Promise<void> {
    takesParameterStoreWriteMoments(name, moments);
    const { slots, count } = moments;
    const entry = this.entry(name);
    const kept = this.stateOf(entry).slots.map((slot) => slot.name);
    const given = slots.map((slot) => slot.name);
    check(
      [...given].sort().join() === [...kept].sort().join(),
      `the optimizer keeps ${kept.join(', ') || 'nothing'} of parameter '${name}'; got ${given.join(', ') || 'nothing'}`,
    );
    this.setCount(name, count);
    const own = this.shards?.own(name);
    if (own?.count === 0) return;
    await Promise.all(slots.map(({ name: slot, values }) => this.upload(entry, this.slot(entry, slot), values, own)));
  }

  /**
   * Sets the optimizer's state of a parameter to zero, on the device, and its step count with it.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async zeroMoments(name: string): Promise<void> {
    takesParameterStoreZeroMoments(name);

    const entry = this.entry(name);
    const program = new BufferProgram();
    for (const buffer of entry.slots.values()) program.add('fill', [], [program.buffer(buffer)], { value: 0 });
    entry.count = 0;
    await program.runOnce(this.device.native);
  }

  /**
   * Updates so far, where the optimizer counts them; else 0.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  count(name: string): number {
    takesParameterStoreCount(name);

    return this.entry(name).count;
  }

  setCount(name: string, count: number): void {
    takesParameterStoreSetCount(name, count);

    check(
      Number.isSafeInteger(count) && count >= 0,
      `the step count of '${name}' must be a whole number >= 0; got ${count}`,
    );
    const entry = this.entry(name);
    if (this.stateOf(entry).counted) entry.count = count;
  }

  /**
   * Copies a parameter's value and working copy onto another of the same shape, on the device; the optimizer's
   * state of it by `moments`: 'copy', 'zero' (count 0 too), 'keep' the destination's, or a copy scaled.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async copy(from: string, to: string, options: { readonly moments: MomentCopy }): Promise<void> {
    takesParameterStoreCopy(from, to, options);
    const { moments } = options;
    const [source, target] = [this.entry(from), this.entry(to)];
    check(
      source.elements === target.elements,
      `copy: '${from}' ${formatShape(source.spec.shape)} and '${to}' ${formatShape(target.spec.shape)} differ in size`,
    );
    if (source === target) return;
    const jobs: Promise<void>[] = [];
    jobs.push(translated(() => this.buffer(target, 'value').copyFrom(this.buffer(source, 'value'))));
    if (moments !== 'keep' && this.shards) jobs.push(this.copySharedMoments(from, to, moments));
    else if (moments !== 'keep') {
      const program = new BufferProgram();
      for (const slot of this.stateOf(target).slots) {
        const known = moments !== 'zero' && source.slots.get(slot.name);
        if (!known && !target.slots.has(slot.name)) continue;
        const destination = program.buffer(this.slot(target, slot.name));
        const alpha = typeof moments === 'object' ? slotFactor(moments.scale, slot) : 1;
        if (known) program.add('scale', [program.buffer(known)], [destination], { alpha, beta: 0 });
        else program.add('fill', [], [destination], { value: 0 });
      }
      jobs.push(program.runOnce(this.device.native));
      target.count = moments === 'zero' ? 0 : source.count;
    }
    await Promise.all(jobs);
    await this.refresh(target);
  }

  /** The two parameters need not be divided alike. */
  private async copySharedMoments(from: string, to: string, moments: Exclude<MomentCopy, 'keep'>): Promise<void> {
    if (moments === 'zero') return this.zeroMoments(to);
    const { slots, count } = await this.moments(from);
    const copied: MomentSlot[] = [];
    for (const slot of slots) {
      const factor = moments === 'copy' ? 1 : slotFactor(moments.scale, slot);
      copied.push({ ...slot, values: await scaledValues(slot.values, Math.fround(factor)) });
    }
    await this.writeMoments(to, { slots: copied, count });
  }

  /**
   * What accumulateGradients has added since the last update.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async gradient(name: string): Promise<Float32Array> {
    takesParameterStoreGradient(name);

    return this.download(this.entry(name), 'gradient');
  }

  /** What passes backward with `sumLoss` have added since the last call, which queues its work at once. */
  async takeLoss(): Promise<number> {
    const buffer = this.buffer(this.entry(lossSum), 'gradient');
    const [values] = await translated(() => Promise.all([buffer.read(0, 1), buffer.write(new Float32Array(1), 0)]));
    return values[0]!;
  }

  /** Sets all gradients to zero (an optimizer's step does so by itself). */
  async zeroGradients(): Promise<void> {
    this.checkOpen();
    const program = new BufferProgram();
    for (const { buffers } of this.all()) {
      if (buffers.gradient) program.add('fill', [], [program.buffer(buffers.gradient)], { value: 0 });
    }
    await program.runOnce(this.device.native);
  }

  /**
   * Forgets a parameter and frees its memory; programs that use it throw CLOSED from now on.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  remove(name: string): void {
    takesParameterStoreRemove(name);

    const entry = this.entry(name);
    this.release(entry);
    this.shards?.remove(entry.spec);
    this.entries.delete(name);
    this.removals++;
  }

  /** Bytes of all buffers made so far. */
  get bytes(): number {
    let total = 0;
    for (const entry of this.all()) for (const { bytes } of buffersOf(entry)) total += bytes;
    return total;
  }

  dispose(): void {
    if (this.disposed) return;
    for (const entry of this.all()) this.release(entry);
    this.disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Throws CLOSED after dispose() or when the device is closed. */
  checkOpen(): void {
    if (this.disposed) throw new ApolloError('CLOSED', 'the parameter store was disposed; make a new one');
    this.device.checkOpen();
  }

  /**
   * Whether `name` has a bf16 working copy.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  hasWorkingCopy(name: string): boolean {
    takesParameterStoreHasWorkingCopy(name);

    return this.keepsCopy(this.entry(name));
  }

  /**
   * The device buffer behind a program's value, for compilation.
   * @throws ApolloError BAD_ARGUMENT when the parameter is unknown, of another shape, or has no working copy.
   */
  bind(kind: BufferKind, name: string, shape: Shape): BoundBuffer {
    takesParameterStoreBind(kind, name, shape);

    const entry = this.entry(name);
    const declared = entry.spec.shape;
    check(
      formatShape(shape) === formatShape(declared),
      `parameter '${name}' is ${formatShape(declared)} in the store and ${formatShape(shape)} in the graph`,
    );
    check(
      kind !== 'workingCopy' || this.keepsCopy(entry),
      `parameter '${name}' has no bf16 working copy (store precision '${this.precision}', workingCopy ${entry.spec.workingCopy}); ask for it as f32`,
    );
    return { buffer: this.buffer(entry, kind), removed: () => entry.removed };
  }

  /**
   * The device buffer of a slot of the optimizer's state, or of this rank's part of it.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  bindSlot(slot: string, name: string): BoundBuffer {
    takesParameterStoreBindSlot(slot, name);

    const entry = this.entry(name);
    return { buffer: this.slot(entry, slot), removed: () => entry.removed };
  }

  private stateOf({ spec }: Entry): ParameterState {
    return this.layout?.of(spec) ?? stateless;
  }

  private keepsCopy(entry: Entry): boolean {
    return this.precision === 'bf16' && entry.spec.workingCopy;
  }

  private all(): Entry[] {
    return [...this.entries.values(), ...this.losses.values()];
  }

  private entry(name: string): Entry {
    this.checkOpen();
    const entry = this.losses.get(name) ?? this.entries.get(name);
    if (entry) return entry;
    const names = this.names();
    throw new ApolloError(
      'BAD_ARGUMENT',
      `parameter '${name}' is not declared; the store has ${names.length}: ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`,
    );
  }

  private slot(entry: Entry, name: string): NativeBuffer {
    const existing = entry.slots.get(name);
    if (existing) return existing;
    const elements = this.shards ? this.shards.own(entry.spec.name).count : entry.elements;
    const buffer = this.device.createBuffer('f32', elements);
    entry.slots.set(name, buffer);
    return buffer;
  }

  private buffer(entry: Entry, kind: BufferKind): NativeBuffer {
    const existing = entry.buffers[kind];
    if (existing) return existing;
    const buffer = this.device.createBuffer(kind === 'workingCopy' ? 'bf16' : 'f32', entry.elements);
    entry.buffers[kind] = buffer;
    // Made together and as zeros, so the copy equals the value from the beginning.
    if (kind === 'value' && this.keepsCopy(entry)) this.buffer(entry, 'workingCopy');
    if (kind === 'workingCopy') this.buffer(entry, 'value');
    return buffer;
  }

  /** Writes all values, or the part of them that `span` is. */
  private async upload(entry: Entry, buffer: NativeBuffer, all: Float32Array, span?: Span): Promise<void> {
    const { name, shape } = entry.spec;
    check(
      all instanceof Float32Array && all.length === entry.elements,
      `parameter '${name}' ${formatShape(shape)} wants a Float32Array of ${entry.elements}; got ${all?.constructor?.name} of ${all?.length}`,
    );
    const values = span ? all.subarray(span.offset, span.offset + span.count) : all;
    // Each piece is copied at the call, so a large one would hold the event loop up.
    const pieces: Promise<void>[] = [];
    for (let from = 0; from < values.length; from += uploadElements) {
      await pieces.at(-queuedUploads);
      const piece = translated(() => buffer.write(values.subarray(from, from + uploadElements), from));
      piece.catch(() => {}); // reported below
      pieces.push(piece);
    }
    await Promise.all(pieces);
  }

  private async download(entry: Entry, kind: BufferKind): Promise<Float32Array> {
    const existing = kind === 'value' ? this.buffer(entry, kind) : entry.buffers[kind];
    return existing ? readAll(existing) : new Float32Array(entry.elements);
  }

  private async refresh(entry: Entry): Promise<void> {
    if (!this.keepsCopy(entry)) return;
    if (!entry.refresh) {
      const program = new BufferProgram();
      const [value, copy] = [this.buffer(entry, 'value'), this.buffer(entry, 'workingCopy')];
      entry.refresh = program.add('cast', [program.buffer(value)], [program.buffer(copy)]).compile(this.device.native);
    }
    const program = await entry.refresh;
    await translated(() => program.run([], { profile: false }));
  }

  private release(entry: Entry): void {
    entry.removed = true;
    for (const buffer of buffersOf(entry)) buffer.dispose();
    entry.refresh?.then(
      (program) => program.dispose(),
      () => undefined,
    );
  }
}
