/** AdamW's state as plain arrays, for tests that read and write it by its two slots. */
import type { Moments } from '../lib/engine/index.js';

export interface AdamwMoments {
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly count: number;
}

export function momentsOf({ m, v, count }: AdamwMoments): Moments {
  return {
    slots: [
      { name: 'm', power: 1, values: m },
      { name: 'v', power: 2, values: v },
    ],
    count,
  };
}

/** @throws Error unless the state is AdamW's. */
export function adamwMoments({ slots, count }: Moments): AdamwMoments {
  const [m, v] = slots;
  if (slots.length !== 2 || m?.name !== 'm' || v?.name !== 'v') {
    throw new Error(`expected AdamW's slots m and v; got ${slots.map(({ name }) => name).join(', ')}`);
  }
  return { m: m.values, v: v.values, count };
}
