/** Parameters that are computed, on the device, from those that a store holds. */
import type { NativeBuffer } from '../native.js';
import type { MomentSlot, StateSlot } from '../optim/slots.js';
import { type Expression, runInto } from '../run-into.js';
import { type ParameterBuffers, readAll } from './buffers.js';
import { type Entry, newEntry, type ParameterDeclaration } from './entry.js';
import type { OptimizerState } from './optimizer-state.js';

/** A parameter made of those that a store holds. In its expressions `graph.parameter(name)` is the stored parameter, f32. */
export interface RebuiltParameter {
  readonly spec: ParameterDeclaration;
  readonly value: Expression;
  /**
   * The optimizer's state, slot by slot: here `graph.parameter(name)` is what the store keeps of that parameter in the slot.
   * Absent: zeros.
   */
  readonly moment?: ((slot: StateSlot) => Expression) | undefined;
  /** Updates so far. */
  readonly count: number;
}

/** Where they are computed. */
export interface RebuildSite {
  readonly buffers: ParameterBuffers;
  readonly state: OptimizerState;
  /** A stored parameter. @throws ApolloError BAD_ARGUMENT for an unknown name. */
  readonly entry: (name: string) => Entry;
}

export interface RebuiltEntry {
  readonly entry: Entry;
  /** The optimizer's state where ranks share it: whole until it is divided. */
  readonly shared?: readonly MomentSlot[] | undefined;
}

/** Entries next to the store's own, which stay. Where an expression fails none is left. */
export async function rebuiltEntries(
  site: RebuildSite,
  parameters: readonly RebuiltParameter[],
): Promise<RebuiltEntry[]> {
  const { buffers, state } = site;
  const made: Entry[] = [];
  const rebuilt: RebuiltEntry[] = [];
  try {
    for (const { spec, value, moment, count } of parameters) {
      const entry = newEntry({ ...spec });
      made.push(entry);
      await compute(site, entry, buffers.of(entry, 'value'), value, (old) => buffers.of(old, 'value'));
      const { slots, counted } = state.of(entry);
      let shared: readonly MomentSlot[] | undefined;
      if (moment && state.shards) shared = await computeShared(site, entry, slots, moment);
      else if (moment) {
        for (const slot of slots) {
          const kept = (old: Entry) => state.slot(old, slot.name);
          await compute(site, entry, state.slot(entry, slot.name), moment(slot), kept);
        }
      }
      if (counted) entry.count = count;
      await buffers.refresh(entry);
      rebuilt.push({ entry, shared });
    }
  } catch (error) {
    for (const entry of made) buffers.release(entry);
    throw error;
  }
  return rebuilt;
}

function compute(
  { buffers, entry: stored }: RebuildSite,
  { spec }: Entry,
  buffer: NativeBuffer,
  expression: Expression,
  bufferOf: (old: Entry) => NativeBuffer | Promise<NativeBuffer>,
): Promise<void> {
  return runInto(buffers.device, expression, (name) => bufferOf(stored(name)), { buffer, shape: spec.shape });
}

/** Slots where ranks share them: expressions take whole tensors, so these are collected. */
async function computeShared(
  site: RebuildSite,
  entry: Entry,
  slots: readonly StateSlot[],
  moment: NonNullable<RebuiltParameter['moment']>,
): Promise<MomentSlot[]> {
  const { buffers, state } = site;
  const computed: MomentSlot[] = [];
  for (const slot of slots) {
    const whole: NativeBuffer[] = [];
    const take = (elements: number) => {
      const buffer = buffers.device.createBuffer('f32', elements);
      whole.push(buffer);
      return buffer;
    };
    try {
      const result = take(entry.elements);
      await compute(site, entry, result, moment(slot), async (old) => {
        const kept = (await state.read(old)).slots.find(({ name }) => name === slot.name);
        const buffer = take(old.elements);
        await buffers.upload(old, buffer, kept!.values);
        return buffer;
      });
      computed.push({ ...slot, values: await readAll(result) });
    } finally {
      for (const buffer of whole) buffer.dispose();
    }
  }
  return computed;
}
