/**
 * Results of a comparison: one record per method and seed, in `results.json`. Everything a report shows is
 * computed from it, so that a page can be made again, or by others, without the runs.
 */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { ApolloError } from '../errors.js';
import { writeWholeFile } from '../fs/whole-file.js';
import * as is from '../is.js';
import { withCurrentNames } from '../renamed.js';

/** The ways a run is charged: FLOPs by the paper's accounting, the same without the head, those that ran, time. */
export const costNames = ['flopsModel', 'flopsLayers', 'flopsExecuted', 'trainMs'] as const;
/** The names of the costs. */
export type CostName = (typeof costNames)[number];
/** What training has cost so far. */
export type Costs = Readonly<Record<CostName, number>>;

const amount = z.number().nonnegative();

export const evaluationSchema = z.object({
  /** Optimizer steps done before this evaluation. */
  step: z.number().int().nonnegative(),
  tokens: amount,
  /** Cumulative costs of training up to here; evaluating is not charged. */
  flopsModel: amount,
  flopsLayers: amount,
  flopsExecuted: amount,
  trainMs: amount,
  /** Held-out loss at full depth, through the map of the stage. */
  lossFull: z.number(),
  /** Held-out loss at the depth of the stage's trained layers. */
  lossStage: z.number(),
  /** Mean training loss since the evaluation before; absent at step 0. */
  trainLoss: z.number().optional(),
});
/** An evaluation of a run, and what training had cost by then. */
export type EvaluationPoint = z.infer<typeof evaluationSchema>;

export const runSchema = z.object({
  method: z.string(),
  seed: z.number().int(),
  /** False while the run is in progress or was stopped. */
  finished: z.boolean(),
  stages: z.array(
    z.object({
      /** First step of the stage, trained layers, and how many of its steps ran at each depth (index = depth). */
      step: z.number().int().nonnegative(),
      trainedLayers: z.number().int().positive(),
      depthSteps: z.array(z.number().int().nonnegative()),
    }),
  ),
  evaluations: z.array(evaluationSchema),
  /** Training cost of the run's initial model, if it has one; not part of the run's own costs. */
  source: z.object({ flopsModel: amount, flopsLayers: amount, flopsExecuted: amount, trainMs: amount }).optional(),
  /** The run started from a trained model without a recorded cost. */
  sourceUnknown: z.literal(true).optional(),
});
/**
 * One run of a comparison.
 * @example
 * const ended = (run: RunRecord) => run.finished && run.evaluations.at(-1)?.lossFull;
 */
export type RunRecord = z.infer<typeof runSchema>;

export const resultsSchema = z.object({
  format: z.literal('apollo-lm/results/1'),
  created: z.string(),
  /** Description of model and data for the head of a report: e.g. `model`, `data`, `batch`, `processor`. */
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  /** Trained layers of the finished model. */
  layers: z.number().int().positive(),
  totalSteps: z.number().int().positive(),
  /** The method that the others are compared with. */
  reference: z.string(),
  runs: z.array(runSchema),
});
/** The runs of a comparison: the contents of results.json. */
export type Results = z.infer<typeof resultsSchema>;

const takesWriteResults = is.takes('writeResults', { path: is.path, results: is.results });

/**
 * Writes results so that a reader never sees half a file.
 * @example
 * await writeResults('runs/compare/results.json', results);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function writeResults(path: string, results: Results): Promise<void> {
  takesWriteResults(path, results);

  await writeWholeFile(path, `${JSON.stringify(results, undefined, 1)}\n`, 'The results');
}

const takesReadResults = is.takes('readResults', { path: is.path });

/**
 * Reads a `results.json`.
 * @example
 * const results = await readResults('runs/compare/results.json');
 * @throws ApolloError BAD_ARGUMENT when it is not one, naming the file and the first wrong key.
 */
export async function readResults(path: string): Promise<Results> {
  takesReadResults(path);

  let json: unknown;
  try {
    json = withCurrentNames(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new ApolloError('BAD_ARGUMENT', `${path} is not a readable results file: ${(error as Error).message}`);
  }
  const parsed = resultsSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ApolloError(
    'BAD_ARGUMENT',
    `${path} is not a results file of "apollo-lm compare": ${issue?.path.join('.') || 'the top level'}: ${issue?.message}`,
  );
}
