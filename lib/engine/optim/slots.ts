/** An optimizer's state per parameter, declared once: storing, growing and counting use this declaration. */

import * as is from '../../is.js';
import type { ParameterDeclaration } from '../parameters.js';
import { size } from '../shape.js';

/** An f32 array in the parameter's shape. */
export interface StateSlot {
  /** Also its suffix in checkpoints: `NAME.m`. */
  readonly name: string;
  /** How it follows the gradient's scale: 1 for a mean of gradients, 2 for a mean of their squares. */
  readonly power: number;
}

/** What an optimizer keeps of one parameter. */
export interface ParameterState {
  /** Its arrays, in the order in which the optimizer's op takes them. */
  readonly slots: readonly StateSlot[];
  /** Whether the updates of the parameter are counted (for bias correction); uncounted ones stay at 0. */
  readonly counted: boolean;
}

/** The state of an optimizer, by parameter. */
export interface StateLayout {
  /** Name of the optimizer. */
  readonly optimizer: string;
  /** What it keeps of a parameter. */
  of(spec: Pick<ParameterDeclaration, 'shape' | 'matrices'>): ParameterState;
  /** Whether an update of the parameter needs all of it, and not its elements one by one. Default: no. */
  whole?(spec: Pick<ParameterDeclaration, 'shape' | 'matrices'>): boolean;
}

/** A slot of an optimizer's state with its values. */
export interface MomentSlot extends StateSlot {
  /** Row-major. */
  readonly values: Float32Array;
}

/** The optimizer's state of one parameter. */
export interface Moments {
  /** The arrays with their values; empty values on ranks other than the `root` of `ParameterStore.moments`. */
  readonly slots: readonly MomentSlot[];
  /** Updates that the parameter has had; 0 where they are not counted. */
  readonly count: number;
}

const takesSlotFactor = is.takes('slotFactor', {
  scale: is.anyNumber,
  slot: is.object('a StateSlot', { power: is.whole(0, 8) }),
});

/**
 * The factor on a slot when its gradient is multiplied by `scale`: scale^power.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function slotFactor(scale: number, slot: Pick<StateSlot, 'power'>): number {
  takesSlotFactor(scale, slot);
  const { power } = slot;
  let factor = 1;
  for (let i = 0; i < power; i++) factor *= scale; // exact for the powers of two, unlike pow in general
  return factor;
}

const takesStateBytes = is.takes('stateBytes', { layout: is.stateLayout, spec: is.parameterShape });

/**
 * Bytes that an optimizer keeps of a parameter.
 * @example
 * stateBytes(optimizerState('adamw'), { shape: [256, 1024] }) // two f32 moments of each element
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function stateBytes(layout: StateLayout, spec: Pick<ParameterDeclaration, 'shape' | 'matrices'>): number {
  takesStateBytes(layout, spec);

  const elements = size(spec.shape);
  return 4 * elements * layout.of(spec).slots.length;
}
