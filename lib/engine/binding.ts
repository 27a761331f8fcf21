/** The buffers that a program works on: those of its parameters and states, in the order of its buffer slots. */
import { ApolloError } from '../errors.js';
import type { Device } from './device.js';
import { lossBuffers } from './loss-guard.js';
import type { BufferUse } from './lowering.js';
import type { NativeBuffer } from './native.js';
import type { BoundBuffer, ParameterStore } from './parameters.js';
import type { StateStore } from './state.js';

/** The buffers of a graph's parameters and states. */
export interface ProgramStores {
  /**
   * Holds the graph's parameters, on the device that compiles. Required where the graph has parameters or gradients.
   */
  readonly store?: ParameterStore | undefined;
  /** Holds the graph's states, on the device that compiles. Required where the graph has states. */
  readonly states?: StateStore | undefined;
}

/** The store's name of each parameter of a graph. */
export type ParameterNames = (name: string) => string;

/** The buffers of the parameters that a program works on, from `Program.bind`. */
export interface Binding {
  /** By buffer slot. */
  readonly buffers: readonly NativeBuffer[];
  /**
   * The device of the stores; none where the graph has neither parameters nor states.
   * @internal
   */
  readonly device?: Device | undefined;
  /** Throws CLOSED when a store is disposed or one of the parameters has been removed. */
  checkOpen(): void;
}

/**
 * The buffers behind `uses`, with the graph's parameters under the names that the store has for them.
 * @throws ApolloError BAD_ARGUMENT for a parameter that the store does not have or that has another shape, CLOSED.
 */
export function bindBuffers(
  uses: readonly BufferUse[],
  { store, states }: ProgramStores,
  parameters: ParameterNames = (name) => name,
): Binding {
  const bound: (BoundBuffer & { readonly name: string })[] = uses.map(({ kind, name, shape, dtype }) => {
    if (kind === 'state') return { name, buffer: states!.bind(name, { shape, dtype }), removed: () => false };
    const stored = lossBuffers.includes(name) ? name : parameters(name);
    return { name: stored, ...store!.bind(kind, stored, shape) };
  });
  let removals = store?.removals;
  return {
    buffers: bound.map(({ buffer }) => buffer),
    device: (store ?? states)?.device,
    checkOpen() {
      store?.checkOpen();
      states?.checkOpen();
      if (removals === store?.removals) return;
      const gone = bound.find(({ removed }) => removed());
      if (gone) throw new ApolloError('CLOSED', `parameter '${gone.name}' was removed from the store; compile again`);
      removals = store?.removals;
    },
  };
}
