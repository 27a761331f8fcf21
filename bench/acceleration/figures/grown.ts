/**
 * Table 3: Apollo with stacking and with interpolation. The model of the last stage that shares layers is run at its own
 * depth and at full depth, just before the growth; then the run continues to its end.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ExpansionName, expansions } from '../../../lib/growth/index.js';
import { apollo, type TrainingMethod } from '../../../lib/methods/index.js';
import { formatFlops, formatPercent } from '../../../lib/report/format.js';
import { renderSvg } from '../../../lib/report/svg.js';
import { markdownTable } from '../../../lib/report/table.js';
import type { Figure, ScaleName } from '../figure.js';
import { recipe } from '../scales.js';
import { colors, panelChart, panelSize, seedCurves } from './draw.js';
import { gradientCell, gradientHeaders, gradientNote, normCell } from './gradients.js';
import { expanded, heldOutLoss, heldOutSequences, loadTrained, type Measurement, measure } from './measure.js';
import { publish } from './publish.js';
import {
  checkpointsOf,
  eachSeed,
  meanSd,
  momentsFor,
  openBench,
  over,
  provenance,
  type RecipeOf,
  recipeParagraph,
  runOptions,
  seedsWith,
  type Trained,
  trained,
  withBench,
} from './support.js';

const paperModel = 'bert-base';

/** Length of a run in lengths of the recipe's; at nano scale the last switch would come too early in one. */
const share: Readonly<Record<ScaleName, number>> = { nano: 2, small: 1, paper: 1 };

const variants = ['stack', 'interpolate'] as const satisfies readonly ExpansionName[];
type Variant = (typeof variants)[number];

/** Just before the last switch. */
interface Before {
  /** At the stage's own depth. */
  readonly own: Measurement;
  /** At full depth as it will be after the switch, each layer a copy with its own gradient. */
  readonly full: Measurement;
  /** At full depth with shared layers: the same loss, gradients summed over the uses of a layer. */
  readonly shared: Measurement;
  /** Held-out loss at each depth from the stage's own on, with shared layers. */
  readonly depths: readonly (readonly [number, number])[];
}

interface Outcome {
  readonly before: Before;
  readonly switchFlops: number;
  readonly finalLoss: number;
  readonly tokens: number;
  readonly flops: number;
}
type SeedValue = Readonly<Record<Variant, Outcome>>;

const look: Readonly<
  Record<
    Variant,
    {
      title: string;
      color: string;
      paper: { own: readonly [string, string]; full: readonly [string, string]; saving: string };
    }
  >
> = {
  stack: {
    title: 'Apollo-S',
    color: colors.red,
    paper: { own: ['1.82', '1.65 ± 3.72'], full: ['1.76', '1.42 ± 3.50'], saving: '39.7 %' },
  },
  interpolate: {
    title: 'Apollo-I',
    color: colors.blue,
    paper: { own: ['1.82', '1.59 ± 3.33'], full: ['1.76', '1.39 ± 3.01'], saving: '41.6 %' },
  },
};

/** The first step of the last stage. */
export function lastSwitch(method: Pick<TrainingMethod, 'stageAt' | 'layers'>, totalSteps: number): number {
  for (let step = 0; step < totalSteps; step++) if (method.stageAt(step).trainedLayers === method.layers) return step;
  return totalSteps;
}

function reading(values: readonly SeedValue[], trainedLayers: number, layers: number): string {
  const gain = (variant: Variant) =>
    over(values, (value) => value[variant].before.own.loss - value[variant].before.full.loss).mean;
  const holds = (variant: Variant) => (value: SeedValue) =>
    value[variant].before.full.loss < value[variant].before.own.loss;
  const smaller = (variant: Variant) => (value: SeedValue) =>
    value[variant].before.full.gradient.tensors.mean < value[variant].before.own.gradient.tensors.mean;
  const everywhere = variants.every((variant) => values.every(holds(variant)));
  const nowhere = variants.every((variant) => !values.some(holds(variant)));
  const sentence = (variant: Variant) => {
    const by = gain(variant);
    return (
      `${look[variant].title}: in ${seedsWith(values, holds(variant))}, at ${layers} layers ` +
      `${Math.abs(by).toFixed(4)} ${by >= 0 ? 'below' : 'above'} that at ${trainedLayers} in the mean (0.06 below in the paper), ` +
      `the gradient of a tensor smaller at ${layers} layers in ${seedsWith(values, smaller(variant))}`
    );
  };
  const final = (variant: Variant) => over(values, (value) => value[variant].finalLoss).mean;
  const ahead = (value: SeedValue) => value.interpolate.finalLoss < value.stack.finalLoss;
  return (
    `The paper's claim, a lower loss at full depth with shared layers than at the stage's own depth, ` +
    `${everywhere ? 'holds in every seed' : nowhere ? 'holds in no seed' : 'holds in some seeds only'}. ` +
    `${variants.map(sentence).join('; ')}. ` +
    `At the end Apollo-I has the lower loss in ${seedsWith(values, ahead)} (${final('interpolate').toFixed(4)} against ` +
    `${final('stack').toFixed(4)} in the mean).`
  );
}

/** The figure with the recipe of `recipeOf`. */
export function grownFigure(recipeOf: RecipeOf = recipe): Figure {
  const figure: Figure = {
    name: 'table3',
    title: 'Apollo with stacking and with interpolation (Table 3)',
    make(context) {
      const { signal, say } = context;
      const batch = recipeOf(context.scale, paperModel).batch ?? 16;
      return withBench(
        () => openBench(context, recipeOf, paperModel, { evaluationBatches: Math.ceil(heldOutSequences / batch) }),
        signal,
        async (bench) => {
          const { model } = bench;
          const { layers } = model.config;
          const { steps: recipeSteps, ...rest } = runOptions(bench, bench.seeds[0] as number);
          const totalSteps = recipeSteps * share[context.scale];
          const moments = momentsFor(totalSteps);
          const methodOf = (seed: number, expansion: Variant) =>
            apollo({ layers, totalSteps, seed, expansion, moments });
          const any = methodOf(0, 'stack');
          const atSwitch = lastSwitch(any, totalSteps);
          const { trainedLayers } = any.stageAt(Math.max(0, atSwitch - 1));
          const { batch: sequences, learningRate } = rest;
          const settings = { totalSteps, batch: sequences, learningRate, moments, model: model.config };

          const made = await eachSeed(bench, context, settings, async (record): Promise<SeedValue> => {
            const { seed } = record;
            const outcome = async (variant: Variant): Promise<Outcome> => {
              const { title } = look[variant];
              const run = (stopAfter: { steps?: number }): Promise<Trained> =>
                trained(bench, context, record, {
                  model,
                  method: methodOf(seed, variant),
                  options: { ...runOptions(bench, seed, totalSteps), stopAfter },
                  name: title,
                });
              const start = await record.once(`${title}: to the growth`, () => {
                say(`seed ${seed}, ${title}: to the last growth, step ${atSwitch} of ${totalSteps}`);
                return run({ steps: atSwitch });
              });
              const before = await record.once(`${title}: before the growth`, async (): Promise<Before> => {
                const loaded = await loadTrained(bench, checkpointsOf(record, title));
                try {
                  const expand = expansions[variant];
                  const own = await measure(bench, loaded, signal);
                  const shared = await measure(bench, loaded, signal, expand(loaded.layers, layers));
                  const depths: [number, number][] = [];
                  for (let depth = loaded.layers; depth <= layers; depth++) {
                    depths.push([depth, await heldOutLoss(bench, loaded, signal, expand(loaded.layers, depth))]);
                  }
                  const grown = await expanded(loaded, expand(loaded.layers, layers));
                  try {
                    return { own, full: await measure(bench, grown, signal), shared, depths };
                  } finally {
                    grown.store.dispose();
                  }
                } finally {
                  loaded.store.dispose();
                }
              });
              const end = await record.once(`${title}: to the end`, () => {
                say(`seed ${seed}, ${title}: to the end`);
                return run({});
              });
              const finalLoss = await record.once(`${title}: final loss`, async () => {
                const loaded = await loadTrained(bench, checkpointsOf(record, title));
                try {
                  return (await measure(bench, loaded, signal)).loss;
                } finally {
                  loaded.store.dispose();
                }
              });
              const { tokens, flopsModel: flops } = end;
              return { before, switchFlops: start.flopsModel, finalLoss, tokens, flops };
            };
            return { stack: await outcome('stack'), interpolate: await outcome('interpolate') };
          });

          const { values, seeds, complete } = made;
          const first = values[0];
          if (!first) return false;
          const { tokens } = first.stack;
          const scratchFlops = model.flopsPerToken(layers, rest.seq) * tokens;
          const series = variants.flatMap((variant) => {
            const { title: name, color } = look[variant];
            return seedCurves(
              { name, color },
              values.map((value) => value[variant].before.depths),
            );
          });
          const panel = {
            title: `the model of ${trainedLayers} layers just before the last growth`,
            x: 'depth at which it runs, layers shared',
            y: 'held-out loss',
            free: true,
            series,
          };
          await writeFile(join(context.out, 'depths.svg'), await renderSvg(panelChart([panel]), panelSize(1)));

          const rows = [
            [
              'model',
              'layers',
              'loss',
              'paper',
              gradientHeaders[0],
              'paper',
              gradientHeaders[1],
              gradientHeaders[2],
              'of a tensor, layers shared',
            ],
            ...variants.flatMap((variant) => {
              const { title, paper } = look[variant];
              return (['own', 'full'] as const).map((depth) => {
                const at = (value: SeedValue) => value[variant].before[depth];
                return [
                  depth === 'own' ? title : '',
                  String(depth === 'own' ? trainedLayers : layers),
                  meanSd(values, (value) => at(value).loss, 4),
                  paper[depth][0],
                  gradientCell(values, at, 'tensors'),
                  paper[depth][1],
                  gradientCell(values, at, 'absolute'),
                  normCell(values, at),
                  depth === 'own' ? '-' : gradientCell(values, (value) => value[variant].before.shared, 'tensors'),
                ];
              });
            }),
          ];
          const ends = [
            ['model', 'final loss', 'FLOPs', 'of a run from scratch', 'FLOPs to the growth', 'saving in the paper'],
            ...variants.map((variant) => {
              const flops = over(values, (value) => value[variant].flops);
              const until = over(values, (value) => value[variant].switchFlops);
              return [
                look[variant].title,
                meanSd(values, (value) => value[variant].finalLoss, 4),
                formatFlops(flops.mean) + (flops.sd === undefined ? '' : ` ± ${formatPercent(flops.sd / flops.mean)}`),
                formatPercent(flops.mean / scratchFlops),
                formatFlops(until.mean),
                look[variant].paper.saving,
              ];
            }),
          ];
          await publish(context, {
            title: figure.title,
            result: {
              ...provenance(bench, seeds),
              complete,
              totalSteps,
              atSwitch,
              trainedLayers,
              moments,
              scratchFlops,
              values,
            },
            body: [
              `Apollo with stacking (S) and interpolation (I) as its map, both for sharing and for growing. At the end of the ` +
                `stage of ${trainedLayers} layers (step ${atSwitch} of ${totalSteps}) its model is measured at ${trainedLayers} layers and, ` +
                `by the map, at ${layers}; then the run continues to its end.`,
              recipeParagraph(bench, seeds, {
                model: paperModel,
                config: model.config,
                tokens,
                text: `${totalSteps} steps (${share[context.scale]} times the recipe), stages at the paper's shares, LVPS, AdamW's moments at each growth: ${moments}.`,
              }),
              markdownTable(rows),
              reading(values, trainedLayers, layers),
              `${gradientNote} At ${layers} layers the gradient is that of the grown network, whose layers have their own; ` +
                'the last column has that of the shared layers, each the sum over its uses.',
              markdownTable(ends),
              'Both spend the same FLOPs, since depths depend on the seed alone. A saving is read off against a run from ' +
                'scratch, which is the matter of the figures that compare methods.',
              '![loss by depth](depths.svg)',
            ],
          });
          return complete;
        },
      );
    },
  };
  return figure;
}

export const table3 = grownFigure();
