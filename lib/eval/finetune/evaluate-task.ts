/** A fine-tuned model on its task: scores of the labelled splits, predictions of the others. */
import type { Device } from '../../engine/device.js';
import * as is from '../../is.js';
import { sequenceEncoder } from './encode.js';
import { encodeAll } from './features.js';
import { loadFineTuned } from './fine-tuned-folder.js';
import { NetworkPrograms } from './network.js';
import { predict } from './predict.js';
import type { FineTuneTask, Metrics, PredictionFile, Split, TaskData } from './task.js';

/** What {@link evaluateTask} has measured. */
export interface TaskEvaluation {
  /** Scores by split. */
  readonly metrics: Readonly<Record<string, Metrics>>;
  /** Additional information about the scores, by split. */
  readonly remarks: Readonly<Record<string, string>>;
  /** Predictions of the splits without labels, and of the others where the task keeps them. */
  readonly predictions: readonly PredictionFile[];
  /** Warnings about the model, one sentence each. */
  readonly warnings: readonly string[];
}

/** What {@link evaluateTask} measures, and on what. */
export interface TaskEvaluationOptions<Example> {
  /** The device that the model is loaded on and runs on; its weights are freed at the end. */
  readonly device: Device;
  /** Folder of the fine-tuned model. */
  readonly folder: string;
  /** The task that the model was fine-tuned on; another head is refused with BAD_CONFIG. */
  readonly task: FineTuneTask<Example>;
  /** Splits to score (`evaluations`) and splits without labels to predict (`tests`), from `task.read`. */
  readonly data: Pick<TaskData<Example>, 'evaluations' | 'tests'>;
  /** Sequences per run of the model. The device's memory limits it; scores do not depend on it but for rounding. */
  readonly batch: number;
  /** Precision of matrix products; the weights are f32 masters in both. Default f32. */
  readonly precision?: 'f32' | 'bf16';
  /** Ends the evaluation with ABORT_ERR. */
  readonly signal?: AbortSignal | undefined;
  /** Receives the current split and the share of it that is done. */
  readonly onProgress?: ((split: string, done: number) => void) | undefined;
}

const takesEvaluateTask = is.takes('evaluateTask', {
  options: is.options({
    device: is.device,
    folder: is.path,
    task: is.task,
    data: is.object('{ evaluations, tests } of a task (from task.read)', {
      evaluations: is.list(is.split),
      tests: is.list(is.split),
    }),
    batch: is.count,
    precision: is.optional(is.precision),
    signal: is.optional(is.signal),
    onProgress: is.optional(is.func),
  }),
});

/**
 * Runs the model once over every split.
 * @example
 * const data = await task.read('glue', ['evaluations']);
 * const { metrics } = await evaluateTask({ device, folder: 'runs/sst2/pre-trained/seed-42/model', task, data: { ...data, tests: [] }, batch: 32 });
 * @throws ApolloError as loadFineTuned; ABORT_ERR.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function evaluateTask<Example>(options: TaskEvaluationOptions<Example>): Promise<TaskEvaluation> {
  takesEvaluateTask(options);

  const { device, folder, task, data, batch, precision = 'f32', signal, onProgress } = options;
  const tuned = await loadFineTuned(device, folder, task, precision);
  const { model, store, tokenizer, maxLength, layerMap, frame, warnings } = tuned;
  const programs = new NetworkPrograms({ device, store, model, layerMap, head: task.head, batch });
  try {
    const encoder = sequenceEncoder(tokenizer, model.config, maxLength, frame);
    const outputsOf = async ({ name, examples }: Split<Example>) => {
      const features = await encodeAll(task, examples, encoder, signal);
      const { padId } = encoder;
      const progress = (done: number) => onProgress?.(name, done);
      return predict(programs, features, { head: task.head, batch, maxLength, padId, signal, onProgress: progress });
    };
    const metrics: Record<string, Metrics> = {};
    const remarks: Record<string, string> = {};
    const predictions: PredictionFile[] = [];
    for (const split of data.evaluations) {
      const outputs = await outputsOf(split);
      metrics[split.name] = task.score(split.examples, outputs);
      const remark = task.remark?.(split.examples, outputs);
      if (remark) remarks[split.name] = remark;
      if (task.keepsPredictions) predictions.push(...[task.predictions(split, outputs)].flat());
    }
    for (const split of data.tests) predictions.push(...[task.predictions(split, await outputsOf(split))].flat());
    return { metrics, remarks, predictions, warnings };
  } finally {
    programs.dispose();
    tuned.dispose();
  }
}
