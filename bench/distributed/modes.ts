/** The ways to train together that are measured, and what the model of their cost calls them. A new one is a line here. */
import type { RankModeName } from '../../lib/dist/index.js';

export interface MeasuredMode {
  readonly name: string;
  /** Options that it adds to `apollo-lm train`. */
  readonly flags: readonly string[];
  readonly mode: RankModeName;
  /** Steps of a round. */
  readonly syncEvery?: number;
  /** Overlap of the plan; default: the engine's. */
  readonly overlap?: number;
}

const outer = (every: number): MeasuredMode => ({
  name: `sync-every ${every}`,
  flags: ['--sync-every', String(every)],
  mode: 'outer',
  syncEvery: every,
});

export const modes: readonly MeasuredMode[] = [
  { name: 'f32', flags: [], mode: 'f32' },
  { name: 'f32 without overlap', flags: ['--no-overlap-exchange'], mode: 'f32', overlap: 0 },
  { name: 'bf16', flags: ['--exchange-precision', 'bf16'], mode: 'bf16' },
  { name: 'sharded optimizer', flags: ['--shard-optimizer'], mode: 'sharded' },
  outer(10),
  outer(50),
];
