/**
 * How the optimizer's state is divided among the ranks of a group, so that each keeps and updates a share of it (ZeRO,
 * stage 1: Rajbhandari et al. 2020, arXiv 1910.02054).
 */
import { ApolloError } from '../../errors.js';
import type { Bounds, NativeGroup } from '../native.js';
import { translated } from '../native-error.js';
import type { ParameterDeclaration } from '../parameters.js';
import { size } from '../shape.js';
import type { StateLayout } from './slots.js';

/**
 * Parts of a parameter are whole pieces of this many elements: those of which the gradients' norm sums the squares one by one
 * (kPieceElements in native/core/pieces.h), so that it has the same bits however parameters are divided.
 */
export const shardUnit = 16_384;

/** Elements of a parameter in one piece. */
export interface Span {
  readonly offset: number;
  readonly count: number;
}

export const pieces = (elements: number): number => Math.ceil(elements / shardUnit);

/**
 * A parameter's part of each rank is decided when it is declared, and stays as long as it is there: in equal parts, with what
 * is left over going to the ranks that have least so far. What an update takes as a whole belongs to one rank. All ranks
 * declare the same parameters in the same order.
 */
export class StateShards {
  readonly #bounds = new Map<string, Bounds>();
  /** Bytes of state, by rank. */
  readonly #loads: number[];

  constructor(
    readonly group: NativeGroup,
    private readonly layout: StateLayout,
  ) {
    this.#loads = new Array<number>(group.size).fill(0);
  }

  add(spec: ParameterDeclaration): void {
    const elements = size(spec.shape);
    const units = this.layout.whole?.(spec) ? 1 : pieces(elements);
    const { size: ranks } = this.group;
    const own = new Array<number>(ranks).fill(Math.floor(units / ranks));
    const least = this.#loads.map((_, rank) => rank).sort((a, b) => this.#loads[a]! - this.#loads[b]! || a - b);
    for (const rank of least.slice(0, units % ranks)) own[rank]! += 1;
    const unit = units === 1 ? elements : shardUnit;
    const bounds = [0];
    for (const count of own) bounds.push(Math.min(elements, bounds.at(-1)! + count * unit));
    this.#bounds.set(spec.name, bounds);
    this.#load(spec, 1);
  }

  remove(spec: ParameterDeclaration): void {
    this.#load(spec, -1);
    this.#bounds.delete(spec.name);
  }

  #load(spec: ParameterDeclaration, sign: 1 | -1): void {
    const bytes = 4 * this.layout.of(spec).slots.length;
    const bounds = this.bounds(spec.name);
    this.#loads.forEach((_, rank) => {
      this.#loads[rank]! += sign * bytes * (bounds[rank + 1]! - bounds[rank]!);
    });
  }

  /** The first element of each rank's part, and the parameter's length. */
  bounds(name: string): Bounds {
    const bounds = this.#bounds.get(name);
    if (!bounds) throw new ApolloError('INTERNAL', `parameter '${name}' is not divided among the ranks`);
    return bounds;
  }

  /** Elements of each rank. */
  counts(name: string): number[] {
    const bounds = this.bounds(name);
    return this.#loads.map((_, rank) => bounds[rank + 1]! - bounds[rank]!);
  }

  /** On the first rank: asks the others for their parts of a parameter's state, which `moments` then collects; '': for no more. */
  async ask(name: string): Promise<void> {
    await translated(() => this.group.broadcast(name, 0));
  }

  /** On the others: gives what the first rank asks for, until it asks no more. */
  async give(collect: (name: string) => Promise<unknown>): Promise<void> {
    for (;;) {
      const name = await translated(() => this.group.broadcast('', 0));
      if (name === '') return;
      await collect(name);
    }
  }

  /** The part of this rank. */
  own(name: string): Span {
    const bounds = this.bounds(name);
    const { rank } = this.group;
    return { offset: bounds[rank]!, count: bounds[rank + 1]! - bounds[rank]! };
  }
}
