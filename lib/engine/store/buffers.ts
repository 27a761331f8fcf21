/** Device buffers of parameters: made when first needed, written, read and freed. */
import { check } from '../../errors.js';
import { BufferProgram } from '../buffer-program.js';
import { type Device, nativeOf } from '../device.js';
import type { BufferKind } from '../lowering.js';
import type { NativeBuffer } from '../native.js';
import { translated } from '../native-error.js';
import type { Span } from '../optim/shards.js';
import { formatShape } from '../shape.js';
import { buffersOf, type Entry } from './entry.js';

/** Elements that are handed to the device at once, and how many such pieces wait for it at a time. */
const uploadElements = 2 ** 19;
const queuedUploads = 2;

export async function readAll(buffer: NativeBuffer): Promise<Float32Array> {
  return (await translated(() => buffer.read(0, buffer.elements))) as Float32Array;
}

export class ParameterBuffers {
  constructor(
    readonly device: Device,
    private readonly precision: 'f32' | 'bf16',
  ) {}

  keepsCopy({ spec }: Entry): boolean {
    return this.precision === 'bf16' && spec.workingCopy;
  }

  of(entry: Entry, kind: BufferKind): NativeBuffer {
    const existing = entry.buffers[kind];
    if (existing) return existing;
    const buffer = this.device.createBuffer(kind === 'workingCopy' ? 'bf16' : 'f32', entry.elements);
    entry.buffers[kind] = buffer;
    // Made together and as zeros, so the copy equals the value from the start.
    if (kind === 'value' && this.keepsCopy(entry)) this.of(entry, 'workingCopy');
    if (kind === 'workingCopy') this.of(entry, 'value');
    return buffer;
  }

  /** Writes all values, or the part of them that `span` is. */
  async upload(entry: Entry, buffer: NativeBuffer, all: Float32Array, span?: Span): Promise<void> {
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

  async download(entry: Entry, kind: BufferKind): Promise<Float32Array> {
    const existing = kind === 'value' ? this.of(entry, kind) : entry.buffers[kind];
    return existing ? readAll(existing) : new Float32Array(entry.elements);
  }

  /** Makes the working copy of the value, where there is one. */
  async refresh(entry: Entry): Promise<void> {
    if (!this.keepsCopy(entry)) return;
    if (!entry.refresh) {
      const program = new BufferProgram();
      const [value, copy] = [this.of(entry, 'value'), this.of(entry, 'workingCopy')];
      entry.refresh = program
        .add('cast', [program.buffer(value)], [program.buffer(copy)])
        .compile(nativeOf(this.device));
    }
    const program = await entry.refresh;
    await translated(() => program.run([], { profile: false }));
  }

  release(entry: Entry): void {
    entry.removed = true;
    for (const buffer of buffersOf(entry)) buffer.dispose();
    entry.refresh?.then(
      (program) => program.dispose(),
      () => undefined,
    );
  }
}
