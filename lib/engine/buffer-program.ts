/** Small native programs over persistent buffers, without a graph: copies, casts, fills, optimizer updates. */
import type { DType } from './dtype.js';
import type { Attribute, NativeBuffer, NativeDevice, NativeInstruction, NativeProgram, NativeValue } from './native.js';
import { translated } from './native-error.js';
import type { Shape } from './shape.js';

/** Collects values and instructions; `compile` makes the program. Value indices are what `add` takes. */
export class BufferProgram {
  readonly #values: NativeValue[] = [];
  readonly #instructions: NativeInstruction[] = [];
  readonly #buffers: NativeBuffer[] = [];
  readonly #slots = { input: 0, output: 0 };

  /** A persistent buffer, flat unless `shape` is given. */
  buffer(buffer: NativeBuffer, shape: Shape = [buffer.elements]): number {
    const slot = this.#buffers.push(buffer) - 1;
    return this.#values.push({ dtype: buffer.dtype, shape, storage: 'buffer', slot }) - 1;
  }

  /** The next input or output slot. */
  transfer(storage: 'input' | 'output', dtype: DType, shape: Shape): number {
    return this.#values.push({ dtype, shape, storage, slot: this.#slots[storage]++ }) - 1;
  }

  add(op: string, inputs: readonly number[], outputs: readonly number[], attrs: Record<string, Attribute> = {}): this {
    this.#instructions.push({ op, inputs, outputs, attrs });
    return this;
  }

  compile(device: NativeDevice): Promise<NativeProgram> {
    return translated(() => device.compile({ values: this.#values, instructions: this.#instructions }, this.#buffers));
  }

  /** Compiles, runs once, frees. For programs without inputs. */
  async runOnce(device: NativeDevice): Promise<void> {
    if (this.#instructions.length === 0) return;
    const program = await this.compile(device);
    try {
      await translated(() => program.run([], { profile: false }));
    } finally {
      program.dispose();
    }
  }
}
