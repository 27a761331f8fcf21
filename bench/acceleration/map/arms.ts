/** The arms of the map: a training method with its settings, under a short name. Adding one is adding a line. */
import type { MethodName } from '../../../lib/methods/index.js';
import type { TrainOptions } from '../../../lib/train/index.js';

export interface Arm {
  /** In words, for tables. */
  readonly title: string;
  readonly method: MethodName;
  /** Settings of the method besides layers, steps and seed. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Settings of the run where they differ from the map's. */
  readonly train?: Partial<TrainOptions>;
  /** Layers of the finished model; default: 12. */
  readonly layers?: number;
  /** The model is half as wide: 12 layers x 32 and one head, from which bert2BERT and LiGO start. */
  readonly isSmall?: true;
  /** The method starts from the arm `small`, trained for this share of the run's steps. */
  readonly smallShare?: number;
}

const fractions = (...values: number[]) => ({ boundaries: { fractions: values } });
const fromOne = { stageLayers: [1, 3, 6, 12] };
/** Growth from one layer by copies alone: no depth sampling, the layers' optimizer state reset. */
const plain = { ...fromOne, sampler: 'none', moments: 'reset' };
const stacked = { ...plain, expansion: 'stackModulo' };
const kept = { moments: 'old-kept-new-zero' };
/** By StackBERT, which has the setting; its stacking from given stages is the same. */
const calibrated = (...starts: number[]) =>
  ({ method: 'stackbert', options: { ...fromOne, ...fractions(...starts), ...kept, calibrate: true } }) as const;
const table = {
  scratch: { title: 'Scratch', method: 'scratch' },
  'scratch-6': { title: 'Scratch, 6 layers (a shallower model)', method: 'scratch', layers: 6 },
  apollo: { title: 'Apollo as in the paper (1-3-6-12, LVPS, interpolation, moments copied)', method: 'apollo' },
  'apollo-none': {
    title: 'Apollo without sampling (1-3-6-12, interpolation, moments copied)',
    method: 'apollo',
    options: { sampler: 'none' },
  },
  'apollo-stack': {
    title: 'Apollo with stacking (1-3-6-12, LVPS, moments copied)',
    method: 'apollo',
    options: { expansion: 'stackModulo' },
  },
  'apollo-reset': { title: 'Apollo, moments reset', method: 'apollo', options: { moments: 'reset' } },
  'interp-early': {
    title: '1-3-6-12 by interpolation, no sampling, at 5/10/25 %',
    method: 'apollo',
    options: { ...plain, ...fractions(0.05, 0.1, 0.25) },
  },
  'interp-mid': {
    title: '1-3-6-12 by interpolation, no sampling, at 10/25/50 %',
    method: 'apollo',
    options: { ...plain, ...fractions(0.1, 0.25, 0.5) },
  },
  'stack-early': {
    title: '1-3-6-12 by stacking at 5/10/25 %',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.05, 0.1, 0.25) },
  },
  'stack-mid': {
    title: '1-3-6-12 by stacking at 10/25/50 %',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.1, 0.25, 0.5) },
  },
  'stack-late': {
    title: '1-3-6-12 by stacking at 15/35/65 %',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.15, 0.35, 0.65) },
  },
  'stack-mid-copy': {
    title: 'the same at 10/25/50 %, moments copied',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.1, 0.25, 0.5), moments: 'copy' },
  },
  'stack-mid-kept': {
    title: 'the same at 10/25/50 %, old moments kept, new ones zero',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.1, 0.25, 0.5), ...kept },
  },
  'stack-early-kept': {
    title: '1-3-6-12 by stacking at 5/10/25 %, old moments kept',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.05, 0.1, 0.25), ...kept },
  },
  'stack-late-kept': {
    title: '1-3-6-12 by stacking at 15/35/65 %, old moments kept',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.15, 0.35, 0.65), ...kept },
  },
  'stack-later-kept': {
    title: '1-3-6-12 by stacking at 20/45/75 %, old moments kept',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.2, 0.45, 0.75), ...kept },
  },
  'interp-mid-kept': {
    title: '1-3-6-12 by interpolation, no sampling, at 10/25/50 %, old moments kept',
    method: 'apollo',
    options: { ...plain, ...fractions(0.1, 0.25, 0.5), ...kept },
  },
  'stack-mid-rewarm': {
    title: 'the same at 10/25/50 %, rate warmed up again over 100 steps',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.1, 0.25, 0.5), rewarmSteps: 100 },
  },
  'stack-mid-rewind': {
    title: 'the same at 10/25/50 %, schedule rewound at each growth',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.1, 0.25, 0.5), rewarmSteps: 100, rewind: true },
  },
  'stack-mid-lvps': {
    title: 'the same at 10/25/50 %, with LVPS',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.1, 0.25, 0.5), sampler: 'lvps' },
  },
  'stack-mid-calibrated': {
    title: 'as stack-mid-kept, residual stream calibrated at growth (pre-norm)',
    ...calibrated(0.1, 0.25, 0.5),
  },
  'stack-mid-calibrated-rewarm': {
    title: 'as stack-mid-calibrated, rate warmed up again over 100 steps',
    method: 'stackbert',
    options: { ...fromOne, ...fractions(0.1, 0.25, 0.5), ...kept, calibrate: true, rewarmSteps: 100 },
  },
  'stack-early-calibrated': {
    title: 'as stack-early-kept (5/10/25 %), calibrated',
    ...calibrated(0.05, 0.1, 0.25),
  },
  'stack-earliest-calibrated': {
    title: '1-3-6-12 by stacking at 2.5/6.25/12.5 %, old moments kept, calibrated',
    ...calibrated(0.025, 0.0625, 0.125),
  },
  'stack-late-calibrated': {
    title: 'as stack-late-kept (15/35/65 %), calibrated',
    ...calibrated(0.15, 0.35, 0.65),
  },
  'stack-later-calibrated': {
    title: 'as stack-later-kept (20/45/75 %), calibrated',
    ...calibrated(0.2, 0.45, 0.75),
  },
  'stack-latest-calibrated': {
    title: '1-3-6-12 by stacking at 25/55/85 %, old moments kept, calibrated',
    ...calibrated(0.25, 0.55, 0.85),
  },
  'five-stages-calibrated': {
    title: '1-2-4-8-12 by stacking at 10/25/45/70 %, old moments kept, calibrated',
    method: 'stackbert',
    options: { stageLayers: [1, 2, 4, 8, 12], ...fractions(0.1, 0.25, 0.45, 0.7), ...kept, calibrate: true },
  },
  'stack-later-gated': {
    title: '1-3-6-12 by stacking at 20/45/75 %, new layers open over 5 % of the run',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.2, 0.45, 0.75), ...kept, gate: { share: 0.05 } },
  },
  'stack-latest-gated': {
    title: '1-3-6-12 by stacking at 25/55/85 %, new layers open over 5 % of the run',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.25, 0.55, 0.85), ...kept, gate: { share: 0.05 } },
  },
  'stack-late-gated': {
    title: '1-3-6-12 by stacking at 15/35/65 %, new layers open over 5 % of the run',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.15, 0.35, 0.65), ...kept, gate: { share: 0.05 } },
  },
  'stack-mid-gated': {
    title: 'the same at 10/25/50 %, new layers open over 5 % of the run',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.1, 0.25, 0.5), ...kept, gate: { share: 0.05 } },
  },
  'stack-early-gated': {
    title: '1-3-6-12 by stacking at 5/10/25 %, new layers open over 5 % of the run',
    method: 'apollo',
    options: { ...stacked, ...fractions(0.05, 0.1, 0.25), ...kept, gate: { share: 0.05 } },
  },
  'stack-3-mid': {
    title: '3-6-12 by stacking at 25/50 %',
    method: 'apollo',
    options: { ...stacked, stageLayers: [3, 6, 12], ...fractions(0.25, 0.5) },
  },
  'stack-6-early': {
    title: '6-12 by stacking at 20 %',
    method: 'apollo',
    options: { ...stacked, stageLayers: [6, 12], ...fractions(0.2) },
  },
  'gstack-4': { title: 'G_stack, 3-12 at 10 %', method: 'gstack', options: { factor: 4 } },
  'one-hop': {
    title: '1-12 in one hop at 25 %',
    method: 'gstack',
    options: { factor: 12, ...fractions(0.25), ...kept },
  },
  stackbert: { title: 'StackBERT (3-6-12 at 12.5/30 %)', method: 'stackbert' },
  small: {
    title: 'Scratch of 12 layers x 32, the smaller model of bert2BERT and LiGO',
    method: 'scratch',
    isSmall: true,
  },
  bert2bert: {
    title: 'bert2BERT (AKI) from 12 x 32 trained for a quarter of the steps',
    method: 'bert2bert',
    smallShare: 0.25,
  },
  ligo: { title: 'LiGO from 12 x 32 trained for a quarter of the steps', method: 'ligo', smallShare: 0.25 },
  mslt: { title: 'MSLT', method: 'mslt' },
  unshare: { title: 'Weight sharing, then unsharing', method: 'unshare' },
  pld: { title: 'Progressive layer dropping', method: 'pld' },
  staged: { title: 'Staged Training, depth alone', method: 'staged' },
  midas: { title: 'MIDAS (3-6-9-12, Prop-alpha 1)', method: 'midas' },
  lidas: { title: 'LIDAS (4-8-12, Prop-alpha 1)', method: 'lidas' },
  loop: { title: 'Loop, then untie (from 6 layers)', method: 'loop' },
  prores: { title: 'ProRes', method: 'prores' },
  raptr: { title: 'RaPTr (6-8-10-12)', method: 'raptr' },
  layerdrop: { title: 'Annealed layer dropout (0.4)', method: 'layerdrop', options: { drop: 0.4 } },
} as const satisfies Record<string, Arm>;

export type ArmName = keyof typeof table;
export const arms: Readonly<Record<ArmName, Arm>> = table;
