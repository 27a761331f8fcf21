/**
 * Figure 5: what a normally trained model of half the depth puts out, and what it puts out when its layers are expanded
 * to the full depth by stacking and by interpolation.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { interpolate, type LayerMap, stack } from '../../../lib/growth/index.js';
import { identityMap } from '../../../lib/methods/index.js';
import { renderSvg } from '../../../lib/report/svg.js';
import { markdownTable } from '../../../lib/report/table.js';
import type { Figure } from '../figure.js';
import { recipe } from '../scales.js';
import { colors, type Panel, panelChart, panelSize } from './draw.js';
import { activationBatch, activations as activationsOf, loadTrained } from './measure.js';
import { publish } from './publish.js';
import { Distribution, type DistributionSummary, overlap, wasserstein } from './statistics.js';
import {
  checkpointsOf,
  continuation,
  eachSeed,
  halfModel,
  halfShare,
  halfText,
  meanSd,
  openBench,
  over,
  provenance,
  type RecipeOf,
  recipeParagraph,
  runOptions,
  seedsWith,
  trained,
  withBench,
} from './support.js';

const paperModel = 'bert-base';
/** Held-out batches that are run. */
const batches = 16;
/** The histogram that is kept and drawn: from -limit to limit. */
const limit = 4;
const parts = 64;

/** One network's outputs. */
interface Outputs {
  readonly loss: number;
  /** Distribution in the last layer. */
  readonly last: DistributionSummary;
  readonly density: readonly (readonly [number, number])[];
  /** Distance and common area of the last layer's outputs to those of the trained model's last layer. */
  readonly distance: number;
  readonly overlap: number;
  /** Outputs of each place, and their distance to those of the same layer in the trained model. */
  readonly places: readonly (DistributionSummary & { readonly layer: number; readonly distance: number })[];
}

const networks = ['trained', 'stacked', 'interpolated'] as const;
type Network = (typeof networks)[number];
type SeedValue = { readonly steps: number; readonly tokens: number } & Readonly<Record<Network, Outputs>>;

const look: Readonly<Record<Network, { title: string; color: string }>> = {
  trained: { title: 'trained, half depth', color: '#bbbbbb' },
  stacked: { title: 'stacked', color: colors.red },
  interpolated: { title: 'interpolated', color: colors.blue },
};

function outputsOf(
  run: { readonly loss: number; readonly map: LayerMap; readonly states: readonly Distribution[] },
  reference: readonly Distribution[],
): Outputs {
  const last = run.states.at(-1) as Distribution;
  const goal = reference.at(-1) as Distribution;
  return {
    loss: run.loss,
    last: last.summary,
    density: last.density(limit, parts),
    distance: wasserstein(last, goal),
    overlap: overlap(last, goal),
    places: run.map.map((layer, place) => {
      const own = run.states[place + 1] as Distribution; // the embeddings come first
      return { ...own.summary, layer, distance: wasserstein(own, reference[layer + 1] as Distribution) };
    }),
  };
}

function histogramPanel(value: SeedValue, seed: number): Panel {
  return {
    title: `seed ${seed}: outputs of the last layer`,
    x: 'activation',
    y: 'density',
    xRange: [-limit, limit],
    series: networks.map((network) => {
      const { title: name, color } = look[network];
      return { name, color, data: value[network].density, width: network === 'trained' ? 4 : 1.5 };
    }),
  };
}

/** A number of each place's outputs, over the share of the depth at which it is. */
function profilePanel(
  values: readonly SeedValue[],
  title: string,
  pick: (place: Outputs['places'][number]) => number,
): Panel {
  return {
    title,
    x: 'share of the depth',
    y: '',
    xRange: [0, 1],
    series: networks.map((network) => {
      const { title: name, color } = look[network];
      const { places } = (values[0] as SeedValue)[network];
      const data = places.map((_, index) => [
        (index + 1) / places.length,
        over(values, (value) => pick(value[network].places[index] as Outputs['places'][number])).mean,
      ]);
      return { name, color, data, points: true };
    }),
  };
}

function reading(values: readonly SeedValue[]): string {
  const mean = (pick: (value: SeedValue) => number) => over(values, pick).mean.toFixed(4);
  const nearer = (value: SeedValue) => value.interpolated.distance < value.stacked.distance;
  const better = (value: SeedValue) => value.interpolated.loss < value.stacked.loss;
  const verdict = values.every(nearer)
    ? "nearer in every seed, as in the paper's Figure 5"
    : values.some(nearer)
      ? `nearer in ${seedsWith(values, nearer)}: the seeds disagree, and these runs do not distinguish the two`
      : "farther in every seed, the opposite of the paper's Figure 5";
  return (
    'The Wasserstein distance of the outputs to those of the trained model is ' +
    `${mean(({ interpolated }) => interpolated.distance)} with interpolation and ` +
    `${mean(({ stacked }) => stacked.distance)} with stacking: interpolated outputs are ${verdict}. Growth raises the ` +
    `held-out loss by ${mean((value) => value.interpolated.loss - value.trained.loss)} and ` +
    `${mean((value) => value.stacked.loss - value.trained.loss)}; interpolation has the lower loss in ` +
    `${seedsWith(values, better)}.`
  );
}

/** The figure with the recipe of `recipeOf`. */
export function activationsFigure(recipeOf: RecipeOf = recipe): Figure {
  const figure: Figure = {
    name: 'fig5',
    title: 'Output activations of stacked and interpolated models (Figure 5)',
    make: (context) =>
      withBench(
        () => openBench(context, recipeOf, paperModel, { evaluationBatches: batches }),
        context.signal,
        async (bench) => {
          const { signal, say } = context;
          const half = halfModel(bench.model);
          const { layers } = half.config;
          const whole = bench.model.config.layers;
          const full = runOptions(bench, bench.seeds[0] as number);
          const steps = Math.max(1, Math.round(full.steps * halfShare[context.scale]));
          const settings = { steps, batch: full.batch, learningRate: full.learningRate, model: half.config };

          const made = await eachSeed(bench, context, settings, async (record): Promise<SeedValue> => {
            const { seed } = record;
            const training = await record.once('half: trained', () => {
              say(`seed ${seed}: ${layers} layers, ${steps} steps`);
              const options = runOptions(bench, seed, steps);
              const method = continuation({ layers, totalSteps: steps, seed });
              return trained(bench, context, record, { model: half, method, options, name: 'half' });
            });
            const weights = await loadTrained(bench, checkpointsOf(record, 'half'));
            try {
              say(`seed ${seed}: activations`);
              const maps = {
                trained: identityMap(layers),
                stacked: stack(layers, whole),
                interpolated: interpolate(layers, whole),
              };
              const run = async (map: LayerMap) => {
                const states = Array.from({ length: map.length + 1 }, () => new Distribution());
                const loss = await activationsOf(bench, weights, { map, batches, signal }, (place, numbers) =>
                  states[place]?.add(numbers),
                );
                return { loss, map, states };
              };
              const reference = await run(maps.trained);
              return {
                steps,
                tokens: training.tokens,
                trained: outputsOf(reference, reference.states),
                stacked: outputsOf(await run(maps.stacked), reference.states),
                interpolated: outputsOf(await run(maps.interpolated), reference.states),
              };
            } finally {
              weights.store.dispose();
            }
          });

          const { values, seeds, complete } = made;
          const first = values[0];
          if (!first) return false;
          const histogram = values.map((value, index) => histogramPanel(value, seeds[index] as number));
          const profiles = [
            profilePanel(values, 'standard deviation', ({ sd }) => sd),
            profilePanel(values, 'kurtosis', ({ kurtosis }) => kurtosis),
            profilePanel(values, 'distance to the same layer', ({ distance: of }) => of),
          ];
          for (const [file, panels] of [
            ['histogram.svg', histogram],
            ['layers.svg', profiles],
          ] as const) {
            await writeFile(
              join(context.out, file),
              await renderSvg(
                panelChart(panels, Math.min(3, panels.length)),
                panelSize(panels.length, Math.min(3, panels.length)),
              ),
            );
          }
          const rows = [
            ['network', 'layers', 'held-out loss', 'mean', 'sd', 'kurtosis', 'Wasserstein-1', 'overlap', 'paper'],
            ...networks.map((network) => [
              look[network].title,
              String(first[network].places.length),
              meanSd(values, (value) => value[network].loss, 3),
              meanSd(values, (value) => value[network].last.mean, 4),
              meanSd(values, (value) => value[network].last.sd, 4),
              meanSd(values, (value) => value[network].last.kurtosis, 2),
              network === 'trained' ? '-' : meanSd(values, (value) => value[network].distance, 4),
              network === 'trained' ? '-' : meanSd(values, (value) => value[network].overlap, 4),
              { trained: '-', stacked: 'distribution shifted', interpolated: 'distribution kept' }[network],
            ]),
          ];
          const outside = Math.max(
            ...values.flatMap((value) => networks.flatMap((n) => value[n].places.map((place) => place.outside))),
          );
          await publish(context, {
            title: figure.title,
            result: { ...provenance(bench, seeds), complete, steps, batches, values },
            body: [
              `A model of ${layers} layers is trained normally and expanded to ${whole} layers without further training, by ` +
                `stacking and by interpolation. The values are all outputs of the last layer on ${batches} held-out batches ` +
                `of ${activationBatch} sequences, the same for all three networks; the distance is Wasserstein-1 between ` +
                'their distribution and that of the trained model, the overlap the common area of the two histograms. The ' +
                'paper shows histograms without numbers.',
              recipeParagraph(bench, seeds, {
                model: paperModel,
                config: bench.model.config,
                tokens: first.tokens,
                text: halfText(context.scale, layers, steps),
              }),
              markdownTable(rows),
              reading(values) +
                (outside > 0
                  ? ` (${(100 * outside).toPrecision(2)} % of the values, at most, lie beyond the grid.)`
                  : ''),
              '![histogram](histogram.svg)',
              'By layer, mean of the seeds; on the right the distance of the outputs at each place to those that the same ' +
                'layer has in the trained model:',
              '![layers](layers.svg)',
            ],
          });
          return complete;
        },
      ),
  };
  return figure;
}

export const activations = activationsFigure();
