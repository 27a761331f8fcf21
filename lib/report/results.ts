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
export interface Costs extends Readonly<Record<CostName, number>> {
  /** Training FLOPs by the paper's accounting. */
  readonly flopsModel: number;
  /** The same without the head. */
  readonly flopsLayers: number;
  /** Training FLOPs of what has run. */
  readonly flopsExecuted: number;
  /** Training time in milliseconds, without evaluation. */
  readonly trainMs: number;
}

const amount = z.number().nonnegative();
/** A loss; one that is not finite is null in JSON, and NaN here. */
const loss = z.union([z.number(), z.nan(), z.null().transform(() => Number.NaN)]);

export const evaluationSchema = z.object({
  /** Optimizer steps done before this evaluation. */
  step: z.number().int().nonnegative(),
  /** Tokens trained on before this evaluation, by all ranks. */
  tokens: amount,
  /** Training FLOPs up to here by the paper's accounting; evaluating is not charged. */
  flopsModel: amount,
  /** The same without the head. */
  flopsLayers: amount,
  /** Training FLOPs of what has run up to here. */
  flopsExecuted: amount,
  /** Training time up to here in milliseconds, without evaluation. */
  trainMs: amount,
  /** Held-out loss at full depth, through the map of the stage. */
  lossFull: loss,
  /** Held-out loss at the depth of the stage's trained layers. */
  lossStage: loss,
  /** Mean training loss since the evaluation before, of steps with a finite loss; absent at step 0. */
  trainLoss: loss.optional(),
});
/** An evaluation of a run, and what training had cost by then. */
export interface EvaluationPoint extends z.infer<typeof evaluationSchema> {}

const stageSchema = z.object({
  /** First step of the stage, from 0. */
  step: z.number().int().nonnegative(),
  /** Number of layers that the stage trains. */
  trainedLayers: z.number().int().positive(),
  /** How many steps of the stage ran at each depth (index = depth, from 0). */
  depthSteps: z.array(z.number().int().nonnegative()),
});
/** A stage of a run, and the depths that its steps ran at. */
export interface RunStage extends z.infer<typeof stageSchema> {}

export const runSchema = z.object({
  /** Name of the method in the comparison. */
  method: z.string(),
  /** Seed of the run: of its initial weights, batches and dropout. */
  seed: z.number().int(),
  /** False while the run is in progress or was stopped. */
  finished: z.boolean(),
  /** The stages so far, in their order. */
  stages: z.array(stageSchema),
  /** The evaluations so far, in rising order of their steps. */
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
export interface RunRecord extends z.infer<typeof runSchema> {
  /** The stages so far, in their order. */
  stages: RunStage[];
  /** The evaluations so far, in rising order of their steps. */
  evaluations: EvaluationPoint[];
  /** Training cost of the run's initial model, if it has one; not part of the run's own costs. */
  source?: Costs | undefined;
}

export const resultsSchema = z.object({
  /** Name and version of the format of results.json. */
  format: z.literal('apollo-lm/results/1'),
  /** When these results were put together: date and time in UTC, ISO 8601. */
  created: z.string(),
  /** Description of model and data for the head of a report: e.g. `model`, `data`, `batch`, `processor`. */
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  /** Trained layers of the finished model. */
  layers: z.number().int().positive(),
  /** Optimizer steps of a whole run. */
  totalSteps: z.number().int().positive(),
  /** The method that the others are compared with. */
  reference: z.string(),
  /**
   * Settings that all runs share and on which their numbers depend: a comparison that is resumed must have the same. Absent in
   * files of earlier versions.
   */
  identity: z.record(z.string(), z.unknown()).optional(),
  /** The runs so far, one for each method and seed. */
  runs: z.array(runSchema),
});
/** The runs of a comparison: the contents of results.json. */
export interface Results extends z.infer<typeof resultsSchema> {
  /** The runs so far, one for each method and seed. */
  runs: RunRecord[];
}

const takesWriteResults = is.takes('writeResults', { path: is.path, results: is.results });

/**
 * Writes results so that a reader never sees half a file.
 * @param path The file, such as `results.json`; it is replaced where there is one.
 * @param results What it will hold, as JSON.
 * @example
 * await writeResults('runs/compare/results.json', results);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function writeResults(path: string, results: Results): Promise<void> {
  takesWriteResults(path, results);

  await writeWholeFile(path, resultsText(results), 'The results');
}

/** Results as results.json has them. */
export const resultsText = (results: Results): string => `${JSON.stringify(results, undefined, 1)}\n`;

const takesReadResults = is.takes('readResults', { path: is.path });

/**
 * Reads a `results.json`.
 * @example
 * const results = await readResults('runs/compare/results.json');
 * @throws ApolloError BAD_ARGUMENT when it is not one, naming the file and the first wrong key.
 */
export async function readResults(path: string): Promise<Results> {
  takesReadResults(path);

  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw unreadable(
      path,
      isMissing ? 'there is no such file. "apollo-lm compare" writes it into its folder.' : (error as Error).message,
    );
  }
  return parseResults(text, path);
}

/** Results from the text of the file `path`. @throws ApolloError BAD_ARGUMENT as readResults. */
export function parseResults(text: string, path: string): Results {
  let json: unknown;
  try {
    json = withCurrentNames(JSON.parse(text));
  } catch (error) {
    throw unreadable(path, (error as Error).message);
  }
  const parsed = resultsSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ApolloError(
    'BAD_ARGUMENT',
    `${path} is not a results file of "apollo-lm compare": ${issue?.path.join('.') || 'the top level'}: ${issue?.message}`,
  );
}

const unreadable = (path: string, why: string): ApolloError =>
  new ApolloError('BAD_ARGUMENT', `${path} is not a readable results file: ${why}`);
