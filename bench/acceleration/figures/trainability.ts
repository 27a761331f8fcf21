/**
 * Table 2: what becomes of a normally trained model of half the depth when it is expanded: its loss, its gradients, and
 * how it trains on, next to the model itself and one of random weights.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { interpolate, stack } from '../../../lib/growth/index.js';
import { identityMap } from '../../../lib/methods/index.js';
import { renderSvg } from '../../../lib/report/svg.js';
import { markdownTable } from '../../../lib/report/table.js';
import type { Figure, ScaleName } from '../figure.js';
import { recipe } from '../scales.js';
import { colors, panelChart, panelSize, seedCurves } from './draw.js';
import { gradientCell, gradientHeaders, gradientNote, gradientRatio, normCell } from './gradients.js';
import {
  expanded,
  heldOutSequences,
  type Loaded,
  loadRandom,
  loadTrained,
  type Measurement,
  measure,
} from './measure.js';
import { publish } from './publish.js';
import {
  type Bench,
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
/** Further steps, as a share of the recipe's. */
const furtherShare: Readonly<Record<ScaleName, number>> = { nano: 0.25, small: 0.1, paper: 0.1 };
/** Evaluations of the further steps, besides the first; and held-out batches of each. */
const evaluations = 8;
const evaluationBatches = 8;

const networks = ['random', 'half', 'stacked', 'interpolated'] as const;
type Network = (typeof networks)[number];

interface Row {
  /** Before the further steps. */
  readonly before: Measurement;
  readonly lossAfter: number;
  /** Held-out loss (of fewer batches) by further steps. */
  readonly losses: readonly (readonly [number, number])[];
}
type SeedValue = { readonly tokens: number } & Readonly<Record<Network, Row>>;

const look: Readonly<Record<Network, { title: string; color: string; paper: readonly [string, string, string] }>> = {
  random: { title: 'random', color: colors.grey, paper: ['10.56', '11.45 ± 26.46', '-'] },
  half: { title: 'half depth, trained', color: colors.green, paper: ['1.82', '1.66 ± 4.71', '-'] },
  stacked: { title: 'its stacking', color: colors.red, paper: ['7.32', '55.28 ± 241.52', 'no'] },
  interpolated: { title: 'its interpolation', color: colors.blue, paper: ['3.97', '44.01 ± 225.76', 'yes'] },
};

async function measured(bench: Bench, signal: AbortSignal, open: () => Promise<Loaded>): Promise<Measurement> {
  const loaded = await open();
  try {
    return await measure(bench, loaded, signal);
  } finally {
    loaded.store.dispose();
  }
}

function reading(values: readonly SeedValue[], further: number): string {
  const loss = (network: Network) => over(values, (value) => value[network].before.loss).mean;
  const after = (network: Network) => over(values, (value) => value[network].lossAfter).mean;
  const rises = (network: Network) => loss(network) - loss('half');
  const lower = (value: SeedValue) => value.interpolated.before.loss < value.stacked.before.loss;
  const better = (value: SeedValue) => value.interpolated.lossAfter < value.stacked.lossAfter;
  const gradient = (network: Network) =>
    gradientRatio(
      values,
      (value) => value[network].before.gradient,
      (value) => value.half.before.gradient,
    ).toFixed(1);
  const above = (network: Network) => over(values, (value) => value[network].lossAfter - value.half.lossAfter).mean;
  const reached = (network: Network) => seedsWith(values, (value) => value[network].lossAfter <= value.half.lossAfter);
  return (
    `Growth raises the loss by ${rises('stacked').toFixed(3)} (stacking) and ${rises('interpolated').toFixed(3)} ` +
    `(interpolation), in the paper by 5.50 and 2.15; interpolation has the lower loss in ${seedsWith(values, lower)}. The ` +
    `gradients of the tensors are ${gradient('stacked')} and ${gradient('interpolated')} times those of the trained model ` +
    `(33 and 27 in the paper). After ${further} further steps the loss is ${after('stacked').toFixed(3)} and ` +
    `${after('interpolated').toFixed(3)}, lower with interpolation in ${seedsWith(values, better)}. The half-depth model, trained ` +
    `on as long, is at ${after('half').toFixed(3)}: the expanded ones are ${above('stacked').toFixed(3)} and ` +
    `${above('interpolated').toFixed(3)} above it (at or below it in ${reached('stacked')} and ${reached('interpolated')}). ` +
    `Random weights get to ${after('random').toFixed(3)} in as many steps.`
  );
}

/** The figure with the recipe of `recipeOf`. */
export function trainabilityFigure(recipeOf: RecipeOf = recipe): Figure {
  const figure: Figure = {
    name: 'table2',
    title: 'Trainability of an expanded model (Table 2)',
    make(context) {
      const { signal, say } = context;
      const batch = recipeOf(context.scale, paperModel).batch ?? 16;
      const measuredBatches = Math.max(evaluationBatches, Math.ceil(heldOutSequences / batch));
      return withBench(
        () => openBench(context, recipeOf, paperModel, { evaluationBatches: measuredBatches }),
        signal,
        async (bench) => {
          const half = halfModel(bench.model);
          const { layers } = half.config;
          const whole = bench.model.config.layers;
          const full = runOptions(bench, bench.seeds[0] as number);
          const steps = Math.max(1, Math.round(full.steps * halfShare[context.scale]));
          const further = Math.max(1, Math.round(full.steps * furtherShare[context.scale]));
          const settings = { steps, further, batch: full.batch, learningRate: full.learningRate, model: half.config };
          const maps = {
            random: undefined,
            half: identityMap(layers),
            stacked: stack(layers, whole),
            interpolated: interpolate(layers, whole),
          };

          const made = await eachSeed(bench, context, settings, async (record): Promise<SeedValue> => {
            const { seed } = record;
            const source = checkpointsOf(record, 'half');
            const training = await record.once('half: trained', () => {
              say(`seed ${seed}: ${layers} layers, ${steps} steps`);
              const options = runOptions(bench, seed, steps);
              const method = continuation({ layers, totalSteps: steps, seed });
              return trained(bench, context, record, { model: half, method, options, name: 'half' });
            });
            const rowOf = async (network: Network): Promise<Row> => {
              const map = maps[network];
              const before = await record.once(`${network}: before`, () =>
                measured(bench, signal, async () => {
                  if (!map) return loadRandom(bench, seed);
                  const loaded = await loadTrained(bench, source);
                  try {
                    return await expanded(loaded, map);
                  } finally {
                    loaded.store.dispose();
                  }
                }),
              );
              const name = `${network}, further`;
              const { losses } = await record.once(`${name}: trained`, () => {
                say(`seed ${seed}: ${look[network].title}, ${further} further steps`);
                const model = network === 'half' ? half : bench.model;
                const depth = model.config.layers;
                const method = continuation({ layers: depth, totalSteps: further, seed }, map && { source, map });
                const options = {
                  ...runOptions(bench, seed + 1000, further), // batches that the trained model has not had yet
                  evaluateEvery: Math.max(1, Math.round(further / evaluations)),
                  evaluationBatches,
                };
                return trained(bench, context, record, { model, method, options, name });
              });
              const { loss: lossAfter } = await record.once(`${network}: after`, () =>
                measured(bench, signal, () => loadTrained(bench, checkpointsOf(record, name))),
              );
              return { before, lossAfter, losses };
            };
            return {
              tokens: training.tokens,
              random: await rowOf('random'),
              half: await rowOf('half'),
              stacked: await rowOf('stacked'),
              interpolated: await rowOf('interpolated'),
            };
          });

          const { values, seeds, complete } = made;
          const first = values[0];
          if (!first) return false;
          const curves = networks.flatMap((network) => {
            const { title: name, color } = look[network];
            return seedCurves(
              { name, color },
              values.map((value) => value[network].losses),
            );
          });
          const panel = { title: 'training on', x: 'further steps', y: 'held-out loss', free: true, series: curves };
          await writeFile(join(context.out, 'further.svg'), await renderSvg(panelChart([panel]), panelSize(1)));

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
              `loss after ${further} steps`,
              'above half depth then',
              'trainable in the paper',
            ],
            ...networks.map((network) => {
              const { title, paper } = look[network];
              const before = (value: SeedValue) => value[network].before;
              return [
                title,
                String(network === 'half' ? layers : whole),
                meanSd(values, (value) => before(value).loss),
                paper[0],
                gradientCell(values, before, 'tensors'),
                paper[1],
                gradientCell(values, before, 'absolute'),
                normCell(values, before),
                meanSd(values, (value) => value[network].lossAfter),
                network === 'half' ? '-' : meanSd(values, (value) => value[network].lossAfter - value.half.lossAfter),
                paper[2],
              ];
            }),
          ];
          await publish(context, {
            title: figure.title,
            result: { ...provenance(bench, seeds), complete, steps, further, values },
            body: [
              `A model of ${layers} layers is trained normally, then expanded to ${whole} layers with weights of their own by ` +
                'stacking and by interpolation. Trainability is the held-out loss after further steps with a fresh optimizer, ' +
                'warm-up and cosine of their own, the same batches for all four; the half-depth model is trained on as it is.',
              recipeParagraph(bench, seeds, {
                model: paperModel,
                config: bench.model.config,
                tokens: first.tokens,
                text: `${halfText(context.scale, layers, steps)} ${further} further steps.`,
              }),
              markdownTable(rows),
              reading(values, further),
              gradientNote,
              '![further steps](further.svg)',
            ],
          });
          return complete;
        },
      );
    },
  };
  return figure;
}

export const table2 = trainabilityFigure();
