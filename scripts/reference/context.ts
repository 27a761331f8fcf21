/** What examples have at hand without saying where it comes from. */
import type { Corpus, Tokenizer } from 'apollo-lm/data';
import type { Device, Graph, ParameterStore, Program, Shape, StateStore, Tensor } from 'apollo-lm/engine';
import type { BodySource, FineTuneTask, NetworkPrograms } from 'apollo-lm/eval';
import type { LossPoint } from 'apollo-lm/growth';
import type { EventFileWriter } from 'apollo-lm/interop';
import type { TrainingMethod } from 'apollo-lm/methods';
import type { LanguageModel, ModelConfig, ModelFamily } from 'apollo-lm/models';
import type { StackOptions, Weights } from 'apollo-lm/nn';
import type { Analysis, Costs, EvaluationPoint, Results, RunRecord } from 'apollo-lm/report';
import type { LoadedModel, StepEvent, TrainingCorpus, TrainOptions } from 'apollo-lm/train';

export { writeFileSync } from 'node:fs';
export { readFile, writeFile } from 'node:fs/promises';

export declare const device: Device;
export declare const program: Program;
export declare const graph: Graph;
export declare const store: ParameterStore;
export declare const states: StateStore;
export declare const signal: AbortSignal;
/** Tensors of a graph: any, logits [B, classes], hidden states [B, T, C]. */
export declare const x: Tensor;
export declare const a: Tensor;
export declare const b: Tensor;
export declare const residual: Tensor;
export declare const logits: Tensor;
export declare const hidden: Tensor;
export declare const shape: Shape;
export declare const weights: Weights;
export declare const stackOptions: StackOptions;
export declare const model: LanguageModel;
export declare const config: ModelConfig;
export declare const ownFamily: ModelFamily;
export declare const method: TrainingMethod;
/** Text (prepareCorpus) or where batches come from (trainingCorpus). */
export declare const corpus: Corpus & TrainingCorpus;
export declare const tokenizer: Tokenizer;
/** A model with its weights (loadModel). */
export declare const trained: LoadedModel;
export declare const task: FineTuneTask;
export declare const source: BodySource;
export declare const programs: NetworkPrograms;
export declare const logitsOfToken: Float32Array;
export declare const options: TrainOptions;
export declare const settings: TrainOptions;
export declare const event: StepEvent;
export declare const writer: EventFileWriter;
export declare const results: Results;
export declare const analysis: Analysis;
export declare const evaluations: readonly EvaluationPoint[];
export declare const spent: Costs;
export declare const reference: Costs;
export declare const run: RunRecord;
export declare const scratch: RunRecord;
export declare const grown: readonly LossPoint[];
export declare const fixed: readonly LossPoint[];
/** Parameters of a store. */
export declare const names: readonly string[];
export declare const tokens: Int32Array;
export declare const labels: Int32Array;
export declare const checkpointDir: string;
export declare const lines: AsyncIterable<string>;
