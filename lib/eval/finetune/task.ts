/**
 * Interface of a task for fine-tuning: where its examples come from, what the model reads of them, the head, and
 * how predictions are scored. Adding a task is adding an object of this kind and its line in tasks.ts.
 */

import type { ClassNames } from './class-names.js';
import type { SequenceEncoder } from './encode.js';
import type { Head } from './head.js';

/** One sequence for the model: a whole example, or a part of a long one. */
export interface Feature {
  /** Ids with the special tokens, without padding; at most the encoder's maxLength. */
  readonly tokens: readonly number[];
  /** Token types, as many. */
  readonly types: readonly number[];
  /** The head's targets by name; absent where there is no label. */
  readonly targets?: Readonly<Record<string, number>>;
}

/** Examples under a name that is used in results and file names: 'dev', 'matched'. */
export interface Split<Example> {
  /** Short and unique within the task; a key in metrics, and a part of file names. */
  readonly name: string;
  /** The examples in the order of their file, in which predictions are written. */
  readonly examples: readonly Example[];
}

/** The examples of a task. */
export interface TaskData<Example> {
  /** Labelled examples to train on; empty where they were not asked for and are not there. */
  readonly train: readonly Example[];
  /** Labelled examples to measure on. The first split decides which epoch was the best. */
  readonly evaluations: readonly Split<Example>[];
  /** Examples without labels, to predict. */
  readonly tests: readonly Split<Example>[];
  /** Warnings about the data, one sentence each: skipped rows, missing splits. */
  readonly notes: readonly string[];
}

/** What a split is for. */
export type SplitKind = 'train' | 'evaluations' | 'tests';

/** Scores by metric; NaN where a metric is not defined, as a correlation with constant predictions. */
export type Metrics = Readonly<Record<string, number>>;

/** Outputs of the head: for each example the rows of its features, in their order. */
export type Outputs = readonly (readonly Float32Array[])[];

/** A file with predictions for examples without labels. */
export interface PredictionFile {
  /** Path within the folder of results. */
  readonly name: string;
  /** Content, UTF-8. */
  readonly text: string;
}

/** A setting of a task. */
export interface TaskSetting {
  /** `docStride`; on the command line `--doc-stride`. */
  readonly name: string;
  /** What a value may be: 'count': a whole number from 1; 'number': any number; 'path': a file. */
  readonly kind: 'count' | 'number' | 'path';
  /** Description for the help of the command line, with the default. */
  readonly about: string;
}

/** A task: how its files are read, its examples become features, and predictions are scored. */
export interface FineTuneTask<Example = unknown> {
  /** As given on the command line: 'sst2'. */
  readonly name: string;
  /** As written in reports: 'SST-2'. */
  readonly title: string;
  /** Metrics of `score`; greater is better for all. The best epoch is chosen by the first. */
  readonly metrics: readonly [string, ...string[]];
  /** The head that is put on the body, with its loss. */
  readonly head: Head;
  /** Names of the classes, in their order; absent where the head gives none. */
  readonly labels?: readonly string[];
  /** Names of the classes in models of other origin, by which their rows are found; absent: their order is that of `labels`. */
  readonly classes?: ClassNames;
  /** Length of sequences in tokens where the user names none. Default 128. */
  readonly maxLength?: number;
  /**
   * Reads what is asked for (`need`) and what else is there.
   * @throws ApolloError BAD_CORPUS naming file, row and what is wrong with it.
   */
  read(folder: string, need: readonly SplitKind[]): Promise<TaskData<Example>>;
  /** Checks before any data are read that a model can do the task. @throws ApolloError BAD_CONFIG. */
  check?(encoder: SequenceEncoder): void;
  /** One feature or more of an example. Pure; called once for each example. */
  features(example: Example, encoder: SequenceEncoder): Feature[];
  /** Scores of labelled examples. */
  score(examples: readonly Example[], outputs: Outputs): Metrics;
  /** Scores of the best answer that looks at no input, by the training examples; absent where there is none. */
  baseline?(
    train: readonly Example[],
    examples: readonly Example[],
  ): {
    /** Name of the baseline in results, such as 'majority'. */
    readonly name: string;
    /** Its scores by metric. */
    readonly metrics: Metrics;
  };
  /** A line of additional information about the scores of a split; absent if there is none. */
  remark?(examples: readonly Example[], outputs: Outputs): string;
  /** Settings of the task, and the task with other values than the defaults; absent if there are none. */
  readonly settings?: readonly TaskSetting[];
  /** The task with these settings. @throws {ApolloError} BAD_CONFIG naming one that is wrong. */
  configured?(values: Readonly<Record<string, unknown>>): FineTuneTask<Example>;
  /** Whether predictions of labelled splits are wanted as files, too. */
  readonly keepsPredictions?: boolean;
  /** Predictions for a split, labelled or not, as the task's own file or files; a name may start with a folder. */
  predictions(split: Split<Example>, outputs: Outputs): PredictionFile | readonly PredictionFile[];
}
