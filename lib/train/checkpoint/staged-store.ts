/** A copy of what a store holds at one moment, taken while the device has other work queued behind it. */
import type { ParameterDeclaration, ParameterStore } from '../../engine/parameters.js';
import { size } from '../../engine/shape.js';
import { ApolloError } from '../../errors.js';
import { askNoMore, collectedMoments } from './sharded-store.js';

/** Source of a checkpoint: a store, or a copy of its contents. */
export interface StoreView {
  names(): string[];
  spec(name: string): Pick<ParameterDeclaration, 'shape'>;
  slots(name: string): ReturnType<ParameterStore['slots']>;
  count(name: string): number;
  read(name: string): Promise<Float32Array>;
  moments(name: string): ReturnType<ParameterStore['moments']>;
}

/** Bytes of a copy of `store`: the value and the optimizer's state of each parameter. */
export function stagedBytes(store: ParameterStore): number {
  return store.names().reduce((sum, name) => {
    const elements = size(store.spec(name).shape);
    return sum + 4 * elements * (1 + store.slots(name).length);
  }, 0);
}

/**
 * Queues the copy, on the first rank where ranks share the optimizer's state, and returns at once: it holds what the store
 * has when everything that is queued now is done, regardless of later changes to the store. Each value can be read once, so that memory is freed as it is written.
 */
export function stageStore(store: ParameterStore): StoreView {
  const staged = new Map(
    store.names().map((name) => {
      const [value, moments] = [store.read(name), collectedMoments(store, name)];
      for (const queued of [value, moments]) queued.catch(() => {}); // reported when it is read
      const entry = { spec: store.spec(name), slots: store.slots(name), count: store.count(name) };
      return [name, { ...entry, value: once(value), moments: once(moments) }] as const;
    }),
  );
  askNoMore(store)?.catch(() => {}); // of a lost device; the requested read reports it
  const of = (name: string) => staged.get(name)!;
  return {
    names: () => [...staged.keys()],
    spec: (name) => of(name).spec,
    slots: (name) => of(name).slots,
    count: (name) => of(name).count,
    read: (name) => of(name).value(),
    moments: (name) => of(name).moments(),
  };
}

/** Gives a value out once and keeps no reference to it. */
function once<Value>(value: Promise<Value>): () => Promise<Value> {
  let held: Promise<Value> | undefined = value;
  return async () => {
    const given = held;
    held = undefined;
    if (!given) throw new ApolloError('INTERNAL', 'A value of a staged store is read twice.');
    return given;
  };
}
