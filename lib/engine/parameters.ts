/**
 * Where parameters live: per name an f32 master value, a bf16 working copy (bf16 runs), an f32 gradient and AdamW's
 * moments, all persistent device buffers. Programs and the optimizer refer to them by name.
 */
import { ApolloError, check } from '../errors.js';
import { BufferProgram } from './buffer-program.js';
import type { Device } from './device.js';
import type { BufferKind } from './lowering.js';
import type { NativeBuffer, NativeProgram } from './native.js';
import { translated } from './native-error.js';
import { checkShape, formatShape, type Shape, size } from './shape.js';

export interface ParameterDeclaration {
  readonly name: string;
  readonly shape: Shape;
  /** Keep a bf16 copy when the store's precision is bf16 (matrices; not for vectors, which stay f32). */
  readonly workingCopy: boolean;
  /** Whether AdamW decays it. */
  readonly decay: boolean;
}

/** How the destination's moments come about in `copy`; numbers scale the source's m and v. */
export type MomentCopy = 'copy' | 'zero' | 'keep' | { readonly m: number; readonly v: number };

/** Buffers of one parameter; made when first needed, zeros. */
export type StoredKind = BufferKind | 'm' | 'v';

interface Entry {
  readonly spec: ParameterDeclaration;
  readonly elements: number;
  readonly buffers: Partial<Record<StoredKind, NativeBuffer>>;
  refresh?: Promise<NativeProgram>;
  count: number;
  removed: boolean;
}

/** A buffer and whether it still belongs to the store. */
export interface BoundBuffer {
  readonly buffer: NativeBuffer;
  readonly removed: () => boolean;
}

export class ParameterStore {
  readonly precision: 'f32' | 'bf16';
  private readonly entries = new Map<string, Entry>();
  private disposed = false;

  constructor(
    readonly device: Device,
    options: { readonly precision: 'f32' | 'bf16' } = { precision: 'f32' },
  ) {
    this.precision = options.precision;
    check(
      this.precision === 'f32' || this.precision === 'bf16',
      `precision must be 'f32' or 'bf16'; got '${options.precision}'`,
    );
  }

  /** Adds a parameter of zeros. @throws ApolloError BAD_ARGUMENT when the name exists, BAD_SHAPE. */
  declare(spec: ParameterDeclaration): void {
    this.checkOpen();
    check(
      !this.entries.has(spec.name),
      `parameter '${spec.name}' is declared already; remove it first or choose another name`,
    );
    checkShape(`parameter '${spec.name}'`, spec.shape);
    const elements = size(spec.shape);
    this.entries.set(spec.name, { spec: { ...spec }, elements, buffers: {}, count: 0, removed: false });
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  /** In the order of declaration. */
  names(): string[] {
    return [...this.entries.keys()];
  }

  /** @throws ApolloError BAD_ARGUMENT for an unknown name. */
  spec(name: string): ParameterDeclaration {
    return this.entry(name).spec;
  }

  /** Sets the value (row-major), and the working copy with it. */
  async write(name: string, values: Float32Array): Promise<void> {
    const entry = this.entry(name);
    await this.upload(entry, 'value', values);
    await this.refresh(entry);
  }

  /** The f32 master value. */
  async read(name: string): Promise<Float32Array> {
    return this.download(this.entry(name), 'value');
  }

  /** AdamW's moments and how many updates they have seen; zeros before the first. */
  async moments(name: string): Promise<{ m: Float32Array; v: Float32Array; count: number }> {
    const entry = this.entry(name);
    const [m, v] = await Promise.all([this.download(entry, 'm'), this.download(entry, 'v')]);
    return { m, v, count: entry.count };
  }

  async writeMoments(
    name: string,
    { m, v, count }: { m: Float32Array; v: Float32Array; count: number },
  ): Promise<void> {
    const entry = this.entry(name);
    this.setCount(name, count);
    await Promise.all([this.upload(entry, 'm', m), this.upload(entry, 'v', v)]);
  }

  /** Updates seen so far by AdamW. */
  count(name: string): number {
    return this.entry(name).count;
  }

  setCount(name: string, count: number): void {
    check(
      Number.isSafeInteger(count) && count >= 0,
      `the step count of '${name}' must be a whole number >= 0; got ${count}`,
    );
    this.entry(name).count = count;
  }

  /**
   * Copies a parameter's value and working copy onto another of the same shape, on the device; its moments and step
   * count by `moments`: 'copy', 'zero' (count 0 too), 'keep' the destination's, or {m, v} copies scaled.
   */
  async copy(from: string, to: string, { moments }: { readonly moments: MomentCopy }): Promise<void> {
    const [source, target] = [this.entry(from), this.entry(to)];
    check(
      source.elements === target.elements,
      `copy: '${from}' ${formatShape(source.spec.shape)} and '${to}' ${formatShape(target.spec.shape)} differ in size`,
    );
    if (source === target) return;
    const jobs: Promise<void>[] = [];
    jobs.push(translated(() => this.buffer(target, 'value').copyFrom(this.buffer(source, 'value'))));
    if (moments !== 'keep') {
      const program = new BufferProgram();
      for (const kind of ['m', 'v'] as const) {
        const known = moments !== 'zero' && source.buffers[kind];
        if (!known && !target.buffers[kind]) continue;
        const destination = program.buffer(this.buffer(target, kind));
        const alpha = typeof moments === 'object' ? moments[kind] : 1;
        if (known) program.add('scale', [program.buffer(known)], [destination], { alpha, beta: 0 });
        else program.add('fill', [], [destination], { value: 0 });
      }
      jobs.push(program.runOnce(this.device.native));
      target.count = moments === 'zero' ? 0 : source.count;
    }
    await Promise.all(jobs);
    await this.refresh(target);
  }

  /** What accumulateGradients has added since the last update. */
  async gradient(name: string): Promise<Float32Array> {
    return this.download(this.entry(name), 'gradient');
  }

  /** Sets all gradients to zero (AdamW does so by itself). */
  async zeroGradients(): Promise<void> {
    this.checkOpen();
    const program = new BufferProgram();
    for (const { buffers } of this.entries.values()) {
      if (buffers.gradient) program.add('fill', [], [program.buffer(buffers.gradient)], { value: 0 });
    }
    await program.runOnce(this.device.native);
  }

  /** Forgets a parameter and frees its memory; programs that use it throw CLOSED from now on. */
  remove(name: string): void {
    this.release(this.entry(name));
    this.entries.delete(name);
  }

  /** Bytes of all buffers made so far. */
  get bytes(): number {
    let total = 0;
    for (const { buffers } of this.entries.values()) for (const buffer of Object.values(buffers)) total += buffer.bytes;
    return total;
  }

  dispose(): void {
    if (this.disposed) return;
    for (const entry of this.entries.values()) this.release(entry);
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

  /** Whether `name` has a bf16 working copy. */
  hasWorkingCopy(name: string): boolean {
    return this.keepsCopy(this.entry(name));
  }

  /**
   * The device buffer behind a program's value, for compilation.
   * @throws ApolloError BAD_ARGUMENT when the parameter is unknown, of another shape, or has no working copy.
   */
  bind(kind: StoredKind, name: string, shape: Shape): BoundBuffer {
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

  private keepsCopy(entry: Entry): boolean {
    return this.precision === 'bf16' && entry.spec.workingCopy;
  }

  private entry(name: string): Entry {
    this.checkOpen();
    const entry = this.entries.get(name);
    check(
      entry,
      `parameter '${name}' is not declared; the store has ${this.entries.size}: ${this.names().slice(0, 8).join(', ')}${this.entries.size > 8 ? ', …' : ''}`,
    );
    return entry;
  }

  private buffer(entry: Entry, kind: StoredKind): NativeBuffer {
    const existing = entry.buffers[kind];
    if (existing) return existing;
    const buffer = this.device.createBuffer(kind === 'workingCopy' ? 'bf16' : 'f32', entry.elements);
    entry.buffers[kind] = buffer;
    // Made together and as zeros, so the copy equals the value from the beginning.
    if (kind === 'value' && this.keepsCopy(entry)) this.buffer(entry, 'workingCopy');
    if (kind === 'workingCopy') this.buffer(entry, 'value');
    return buffer;
  }

  private async upload(entry: Entry, kind: StoredKind, values: Float32Array): Promise<void> {
    const { name, shape } = entry.spec;
    check(
      values instanceof Float32Array && values.length === entry.elements,
      `parameter '${name}' ${formatShape(shape)} wants a Float32Array of ${entry.elements}; got ${values?.constructor?.name} of ${values?.length}`,
    );
    const buffer = this.buffer(entry, kind);
    await translated(() => buffer.write(values, 0));
  }

  private async download(entry: Entry, kind: StoredKind): Promise<Float32Array> {
    const existing = kind === 'value' ? this.buffer(entry, kind) : entry.buffers[kind];
    if (!existing) return new Float32Array(entry.elements);
    return (await translated(() => existing.read(0, entry.elements))) as Float32Array;
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
    for (const buffer of Object.values(entry.buffers)) buffer.dispose();
    entry.refresh?.then(
      (program) => program.dispose(),
      () => undefined,
    );
  }
}
