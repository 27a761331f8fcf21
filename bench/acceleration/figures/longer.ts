/**
 * Runs several times as long as those of the other figures, at two learning rates, in which BERT has left its early plateau:
 * where growing pays and where it does not. Not in the paper, whose runs are all longer than these.
 */
import { join } from 'node:path';
import type { SettingsInput } from '../../../lib/cli/settings/schema.js';
import { analyse } from '../../../lib/report/aggregate.js';
import { atBetterRates, type RatedResults } from '../better-rates.js';
import { drawLosses, lossPictures, whatWasRun } from '../compared.js';
import { type RanComparison, runComparison } from '../comparison.js';
import type { Figure, FigureContext, ScaleName } from '../figure.js';
import { equalFlopsTable, honestReading, savingsTable } from '../reading.js';
import { recipe } from '../scales.js';
import { publish } from './publish.js';
import { fromThree, withReset } from './starts.js';

const name = 'longer-bert';
const title = 'Longer runs on short sequences, BERT';
const model = 'bert-base';
const paper = { apollo: { flops: 41.6, time: 41.1 }, stackbert: { flops: 29.5, time: 28.9 } };

const compared: SettingsInput = {
  methods: ['scratch', 'apollo', 'from-3', 'from-3-none', 'stackbert'],
  variants: { apollo: withReset, 'from-3': fromThree, 'from-3-none': { ...fromThree, sampler: 'none' } },
};

/** Peak learning rates, and what is otherwise than in the recipe: at the larger scales it is long enough as it is. */
const scales: Readonly<Record<ScaleName, { readonly rates: readonly number[]; readonly shape?: SettingsInput }>> = {
  nano: { rates: [1e-3, 2e-3], shape: { steps: 3000, batch: 64, seq: 16, evaluateEvery: 50 } },
  small: { rates: [6e-4, 1.2e-3] },
  paper: { rates: [1e-4, 2e-4] },
};

export const longerBert: Figure = { name, title, make };

async function make(context: FigureContext): Promise<boolean> {
  const { rates, shape } = scales[context.scale];
  const made: RatedResults[] = [];
  for (const learningRate of rates) {
    if (context.signal.aborted) return false;
    const out = join(context.out, `rate-${learningRate}`);
    const common = { ...recipe(context.scale, model), ...compared, ...shape };
    const settings = { ...common, learningRate, ...context.run, data: [...context.data] };
    const ran = await runComparison(`${name}, rate ${learningRate}`, settings, { out, signal: context.signal });
    if (!ran.complete || !ran.results) return false;
    made.push({ rate: learningRate, results: ran.results });
    await describe(context, made, ran);
  }
  return true;
}

/** result.json, the pictures and figure.md of the rates that are complete. */
async function describe(context: FigureContext, made: readonly RatedResults[], last: RanComparison): Promise<void> {
  const { results, rates } = atBetterRates(made);
  const analysis = analyse(results);
  await drawLosses(context.out, results, analysis);
  await publish(context, {
    title: `${title}, ${context.scale} scale`,
    result: { rates: Object.fromEntries(made.map(({ rate, results }) => [rate, results])) },
    body: [
      'Short sequences, with which a post-norm BERT leaves its early plateau soon, and several times as many steps as in the other comparisons. Apollo starts with one layer, with three, and with three without sampling; its optimizer state is reset at each growth.',
      whatWasRun(results, last.settings, model),
      `**Each method at the better of its rates** (${[...rates].map(([method, rate]) => `${method} ${rate}`).join(', ')}):`,
      savingsTable(analysis, paper),
      equalFlopsTable(results, analysis),
      honestReading(results, analysis),
      lossPictures,
      ...made.flatMap(({ rate, results }) => [`All at a rate of ${rate}:`, savingsTable(analyse(results), paper)]),
    ],
  });
}
