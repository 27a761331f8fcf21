/**
 * The head on a model's body for a task: its parameters, its output for each sequence, and its loss. A task brings
 * a head; the loop knows none by name.
 */
import type { Tensor } from '../../engine/graph.js';
import type { ModelConfig, ParameterSpec } from '../../models/index.js';
import type { Weights } from '../../nn/layers.js';

/** Inputs of a head's trace. */
export interface HeadContext {
  /** Configuration of the body. */
  readonly config: ModelConfig;
  /** The body's output, [B, T, C], in the working precision. */
  readonly hidden: Tensor;
  /** i32 [B, T]: 1 where there is a token, 0 behind the last one. */
  mask(): Tensor;
  /** Gives the head's parameters as tensors, by name. */
  readonly weights: Weights;
  /** Dropout on. */
  readonly training: boolean;
  /**
   * The state that stands for a whole sequence, [B, C]: of BERT's first token, [CLS], or of a causal model's last real token, the
   * only one that has seen all others.
   */
  summary(): Tensor;
}

/** Inputs of a loss other than the output. */
export interface LossContext {
  /** The number called `name` of each feature, [B]. In rows that only fill a batch: -100 (i32) or 0 (f32). */
  target(name: string): Tensor;
  /** f32 [B]: 1 in rows that count, 0 in those that only fill a batch. */
  counted(): Tensor;
}

/** A model with this head among Hugging Face's classes: BertFor<task>, GPT2For<task>, LlamaFor<task>, Qwen2For<task>, Qwen3For<task>. */
export interface HuggingFaceHead {
  /** The end of the class's name. */
  readonly task: 'SequenceClassification' | 'QuestionAnswering';
  /** Outputs of a sequence; absent for a head of spans. */
  readonly outputs?: {
    /** Number of outputs: the classes, or 1 for a number. */
    readonly count: number;
    /** Whether they are scores of classes or a number; `problem_type` in config.json. */
    readonly problem: 'single_label_classification' | 'regression';
  };
}

/** What is put on a body for a task: its parameters, its output and its loss. */
export interface Head {
  /** Kept with a fine-tuned model, which is refused by a task with another head. */
  readonly kind: string;
  /** The numbers that a feature carries for the loss, by name, with their dtype. */
  readonly targets: Readonly<Record<string, 'i32' | 'f32'>>;
  /** Its own parameters; they start as `init` says, except for a pooler that comes with the body. */
  parameters(config: ModelConfig): ParameterSpec[];
  /** f32 [B, …]: one row per sequence, which is what the task's score gets. */
  output(context: HeadContext): Tensor;
  /** Mean over the rows that count, scalar f32. */
  loss(output: Tensor, context: LossContext): Tensor;
  /** The class that it has there; absent where it has none, and then a model with it is not exported. */
  readonly huggingFace?: HuggingFaceHead;
}
