/** A copy of what a store holds at one moment, taken while the device has other work queued behind it. */
import type { ParameterDeclaration, ParameterStore } from '../../engine/parameters.js';

/** What a checkpoint is written from: a store, or a copy of what it held. */
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
    const elements = store.spec(name).shape.reduce((product, extent) => product * extent, 1);
    return sum + 4 * elements * (1 + store.slots(name).length);
  }, 0);
}

/**
 * Queues the copy and returns at once: it holds what the store has when everything that is queued now is done, whatever
 * changes the store afterwards. Each value can be read once, so that memory is given back as it is written.
 */
export function stageStore(store: ParameterStore): StoreView {
  const staged = new Map(
    store.names().map((name) => {
      const [value, moments] = [store.read(name), store.moments(name)];
      value.catch(() => {}); // reported when it is read
      moments.catch(() => {});
      return [name, { spec: store.spec(name), slots: store.slots(name), count: store.count(name), value, moments }];
    }),
  );
  const values = new Map([...staged].map(([name, { value, moments }]) => [name, { value, moments }] as const));
  const facts = new Map([...staged].map(([name, { spec, slots, count }]) => [name, { spec, slots, count }] as const));
  const take = <Key extends 'value' | 'moments'>(name: string, key: Key) => {
    const found = values.get(name)!;
    const { [key]: taken, ...rest } = found;
    values.set(name, rest as typeof found);
    return taken;
  };
  return {
    names: () => [...facts.keys()],
    spec: (name) => facts.get(name)!.spec,
    slots: (name) => facts.get(name)!.slots,
    count: (name) => facts.get(name)!.count,
    read: (name) => take(name, 'value'),
    moments: (name) => take(name, 'moments'),
  };
}
