/** A run of the map, and its record. */
import type { ScheduleName } from '../../../lib/train/index.js';
import type { ArmName } from './arms.js';

export const modelKinds = ['gpt', 'bert', 'llama'] as const;
export type ModelKind = (typeof modelKinds)[number];

/** One run: it goes to the end of its own schedule. */
export interface MapRun {
  readonly arm: ArmName;
  readonly kind: ModelKind;
  /** Optimizer steps of 1,024 tokens. */
  readonly steps: number;
  /** Peak learning rate. */
  readonly rate: number;
  readonly schedule: ScheduleName;
  readonly optimizer: 'adamw' | 'muon';
  readonly seed: number;
  /** Warm-up steps, where they are not the map's 200. */
  readonly warmup?: number;
}

/** A held-out loss on the way. */
export interface CurvePoint {
  readonly step: number;
  readonly flops: number;
  /** Of all layers. */
  readonly loss: number;
  /** Of the trained layers alone, where they are fewer. */
  readonly stageLoss?: number;
}

/** A finished run. */
export interface MapRecord extends MapRun {
  readonly id: string;
  readonly parameters: number;
  readonly tokens: number;
  /** Held-out loss at full depth at the end; null: the run diverged. */
  readonly loss: number | null;
  /** By the paper's accounting, with the training of a smaller model that the run starts from: with the head, and of the layers alone. */
  readonly flops: number;
  readonly flopsLayers: number;
  /** Training time by the clock of a machine that may have been busy with other work. */
  readonly trainMs: number;
  /** Where it reached its end: bits differ between processors. Absent in records from before this was kept. */
  readonly processor?: string;
  readonly curve: readonly CurvePoint[];
}

/** All records of a scale. */
export interface MapResults {
  readonly format: 'apollo-lm/map/1';
  readonly scale: string;
  readonly about: Readonly<Record<string, string | number>>;
  readonly records: readonly MapRecord[];
}

/** "stack-mid", "scratch + muon". */
export function nameOf({ arm, optimizer }: { readonly arm: string; readonly optimizer: string }): string {
  return optimizer === 'adamw' ? arm : `${arm} + ${optimizer}`;
}

/** Names a run: its folder, and its place in the records. */
export function idOf({ arm, kind, steps, rate, schedule, optimizer, seed, warmup }: MapRun): string {
  const other = optimizer === 'adamw' ? '' : `-${optimizer}`;
  const warm = warmup === undefined ? '' : `-warmup${warmup}`;
  return `${kind}-${steps}-${arm}-${schedule}-${rate}${warm}${other}-${seed}`;
}

/** The processors of the runs, each with how many reached their end on it. */
export function processorsOf(records: readonly MapRecord[]): string {
  const counts = new Map<string, number>();
  for (const { processor = 'not recorded' } of records) counts.set(processor, (counts.get(processor) ?? 0) + 1);
  return [...counts].map(([name, runs]) => `${name}: ${runs} ${runs === 1 ? 'run' : 'runs'}`).join('; ');
}
