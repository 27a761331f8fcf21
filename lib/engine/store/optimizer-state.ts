/** What an optimizer keeps of each parameter: which slots, whole or this rank's share of them, read, written and copied. */
import { check } from '../../errors.js';
import { scaledValues } from '../../pauses.js';
import { BufferProgram } from '../buffer-program.js';
import { nativeOf } from '../device.js';
import type { NativeBuffer, NativeGroup } from '../native.js';
import { translated } from '../native-error.js';
import { StateShards } from '../optim/shards.js';
import {
  type MomentSlot,
  type Moments,
  type ParameterState,
  type StateLayout,
  type StateSlot,
  slotFactor,
} from '../optim/slots.js';
import { type ParameterBuffers, readAll } from './buffers.js';
import type { Entry } from './entry.js';

/**
 * How the destination's optimizer state comes about in `copy`; `scale`: as the source's, for gradients that become
 * `scale` times what they were.
 */
export type MomentCopy = 'copy' | 'zero' | 'keep' | { readonly scale: number };

/** Nothing is kept while no optimizer has declared its state. */
const stateless: ParameterState = { slots: [], counted: true };

export class OptimizerState {
  /** How the state is divided, where ranks share it. */
  shards: StateShards | undefined;
  #layout: StateLayout | undefined;
  #further: readonly StateSlot[] = [];

  constructor(private readonly buffers: ParameterBuffers) {}

  keep(layout: StateLayout): void {
    check(
      this.#layout === undefined || this.#layout === layout,
      `the store keeps the state of ${this.#layout?.optimizer}, not of ${layout.optimizer}; use another store`,
    );
    this.#layout = layout;
  }

  keepAlso(slots: readonly StateSlot[]): void {
    const [before, now] = [this.#further, slots].map((list) => list.map(({ name }) => name).join(', '));
    check(before === '' || before === now, `the store keeps ${before} already; use another store for ${now}`);
    this.#further = slots;
  }

  /** Only for a store without parameters: divides the state of parameters that are added later. */
  shard(group: NativeGroup, isEmpty: boolean): void {
    check(this.#layout !== undefined, 'shardState: make the optimizer first, whose state is divided among the ranks');
    check(isEmpty, 'shardState: the store must be empty, for state is divided as parameters are declared');
    this.shards = new StateShards(group, this.#layout);
  }

  of({ spec }: Entry): ParameterState {
    const own = this.#layout?.of(spec) ?? stateless;
    return this.#further.length === 0 ? own : { ...own, slots: [...own.slots, ...this.#further] };
  }

  slot(entry: Entry, name: string): NativeBuffer {
    const existing = entry.slots.get(name);
    if (existing) return existing;
    const elements = this.shards ? this.shards.own(entry.spec.name).count : entry.elements;
    const buffer = this.buffers.device.createBuffer('f32', elements);
    entry.slots.set(name, buffer);
    return buffer;
  }

  /** See ParameterStore.moments. */
  async read(entry: Entry, root?: number): Promise<Moments> {
    const { shards } = this;
    const { name } = entry.spec;
    const slots = this.of(entry).slots.map(async (slot) => {
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
  async write(
    entry: Entry,
    { slots, count }: { slots: readonly { name: string; values: Float32Array }[]; count: number },
  ): Promise<void> {
    const { name } = entry.spec;
    const kept = this.of(entry).slots.map((slot) => slot.name);
    const given = slots.map((slot) => slot.name);
    check(
      [...given].sort().join() === [...kept].sort().join(),
      `the optimizer keeps ${kept.join(', ') || 'nothing'} of parameter '${name}'; got ${given.join(', ') || 'nothing'}`,
    );
    this.setCount(entry, count);
    const own = this.shards?.own(name);
    if (own?.count === 0) return;
    const { buffers } = this;
    await Promise.all(
      slots.map(({ name: slot, values }) => buffers.upload(entry, this.slot(entry, slot), values, own)),
    );
  }

  async zero(entry: Entry): Promise<void> {
    const program = new BufferProgram();
    for (const buffer of entry.slots.values()) program.add('fill', [], [program.buffer(buffer)], { value: 0 });
    entry.count = 0;
    await program.runOnce(nativeOf(this.buffers.device));
  }

  setCount(entry: Entry, count: number): void {
    check(
      Number.isSafeInteger(count) && count >= 0,
      `the step count of '${entry.spec.name}' must be a whole number >= 0; got ${count}`,
    );
    if (this.of(entry).counted) entry.count = count;
  }

  /** Queues its work on the device at once, unless ranks share the state. */
  async copy(source: Entry, target: Entry, moments: MomentCopy): Promise<void> {
    if (moments === 'keep') return;
    if (this.shards) return this.#copyShared(source, target, moments);
    const program = new BufferProgram();
    for (const slot of this.of(target).slots) {
      const known = moments !== 'zero' && source.slots.get(slot.name);
      if (!known && !target.slots.has(slot.name)) continue;
      const destination = program.buffer(this.slot(target, slot.name));
      const alpha = typeof moments === 'object' ? slotFactor(moments.scale, slot) : 1;
      if (known) program.add('scale', [program.buffer(known)], [destination], { alpha, beta: 0 });
      else program.add('fill', [], [destination], { value: 0 });
    }
    target.count = moments === 'zero' ? 0 : source.count;
    await program.runOnce(nativeOf(this.buffers.device));
  }

  /** The two parameters need not be divided alike. */
  async #copyShared(source: Entry, target: Entry, moments: Exclude<MomentCopy, 'keep'>): Promise<void> {
    if (moments === 'zero') return this.zero(target);
    const { slots, count } = await this.read(source);
    const copied: MomentSlot[] = [];
    for (const slot of slots) {
      const factor = moments === 'copy' ? 1 : slotFactor(moments.scale, slot);
      copied.push({ ...slot, values: await scaledValues(slot.values, Math.fround(factor)) });
    }
    await this.write(target, { slots: copied, count });
  }
}
