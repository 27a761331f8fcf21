/**
 * Everything that the package must know about a kind of model. A family is a folder next to this file with one object of this interface,
 * and a line in registry.ts; `registerFamily` takes one from outside the package. No other room asks for a family by name.
 */
import type { Activation } from '../nn/layers.js';
import type { ModelConfig } from './config.js';
import type { FlopOptions } from './flops.js';
import type { ForeignConfig, ForeignJson } from './foreign-config.js';
import type { ModelGraphs, ObjectiveName } from './model.js';

/** A field that the configurations of one family have. */
export interface ConfigField {
  /** The condition on a value, as messages print it after "must be". */
  expected(config: ModelConfig): string;
  /** Whether `value`, perhaps undefined, is one that a model can have. */
  holds(value: unknown, config: ModelConfig): boolean;
  /** The value that `withDefaults` fills in; absent: the field stays away. */
  fill?(config: ModelConfig): unknown;
  /**
   * For a field in which two models must be equal to be the same function of equal weights: its value, that of a
   * configuration without the field included. Absent: models may differ in it.
   */
  structure?(config: ModelConfig): unknown;
}

/** The fields that a preset sets; the rest is filled in. */
export type PresetSizes = Omit<Partial<ModelConfig>, 'kind'> &
  Pick<ModelConfig, 'layers' | 'hidden' | 'vocabSize' | 'maxPositions'>;

/** Two tensors that Hugging Face ties: a file may hold either or both. */
export interface TiedTensors {
  /** Name of the tensor that is read where both are there, unless `prefersOther`. */
  readonly name: string;
  /** The second name under which a file may hold the same tensor. */
  readonly other: string;
  /** `other` counts where both are there, and is written besides where the model's head is not tied. */
  readonly prefersOther?: boolean;
}

/** The model's names in Hugging Face's Python library. */
export interface ForeignClasses {
  /** `model_type` in config.json. */
  readonly modelType: string;
  /** The class of the language model, as `GPT2LMHeadModel`. */
  readonly languageModel: string;
  /** What the classes of its task heads start with: `GPT2` of `GPT2ForSequenceClassification`. */
  readonly taskPrefix: string;
}

/** How models of the family are stored in Hugging Face folders. The names of parameters are in their specs. */
export interface HuggingFaceFamily {
  /** Those that `readConfig` knows: models of one arithmetic under several names. */
  readonly modelTypes: readonly string[];
  /** The names of its classes there. @throws {ApolloError} BAD_ARGUMENT where the library has no class that computes what the model computes. */
  classesOf(config: ModelConfig): ForeignClasses;
  /** Settings that would change the arithmetic, each with the values that this package computes; absent ones pass. */
  readonly supported: Readonly<Record<string, readonly unknown[]>>;
  /** The configuration of a config.json. @throws {ApolloError} BAD_CHECKPOINT through `json` for a value that is wrong or not computed here. */
  readConfig(json: ForeignConfig): ModelConfig;
  /** Without `architectures` and `model_type`. */
  writeConfig(config: ModelConfig): ForeignJson;
  /** Prefix of names, which models without a head leave out. */
  readonly prefix: string;
  /** The first pair is the word table and the head's output matrix. */
  readonly tied: readonly TiedTensors[];
  /** Tensors that a file may hold and this package does not need. */
  readonly ignored: RegExp;
  /** Names of the modules of task heads. */
  readonly heads: {
    /** The module that the first token's state passes through, such as `bert.pooler.dense`; absent where there is none. */
    readonly pooler?: string;
    /** The head of a sequence: `classifier`, `score`. */
    readonly classifier: string;
    /** The head of start and end of an answer: `qa_outputs`. */
    readonly spans: string;
    /** Prefix of the body's names in the class for spans. Default: `prefix`. */
    readonly spansPrefix?: string;
  };
}

/** A family of models: its configuration, parameters, graph, FLOPs and foreign names (docs/models.md). */
export interface ModelFamily {
  /** The `kind` of its configurations. */
  readonly kind: string;
  /** Its name in messages. */
  readonly title: string;
  /** The training objective of its models, which determines the fields of a batch. */
  readonly objective: ObjectiveName;
  /** Whether each layer normalises the residual stream itself ('post', BERT) or only what its branches read ('pre'). */
  readonly norm: 'pre' | 'post';
  /** Whether texts have token types (segments). */
  readonly hasTypes: boolean;
  /** Those that the feed-forward part may have; the first is the default. */
  readonly activations: readonly Activation[];
  /** Defaults of common fields in which families differ. */
  defaults(config: PresetSizes): Pick<ModelConfig, 'epsilon' | 'dropout' | 'attentionDropout' | 'heads' | 'ffn'>;
  /** Fields that only this family has, or that others share under the same name. */
  readonly fields: Readonly<Record<string, ConfigField>>;
  /** Rules between fields. `expect(holds, message)` throws BAD_CONFIG; the message follows "model.". */
  check(config: ModelConfig, expect: (holds: boolean, message: string) => void): void;
  /** Its presets by name; the names are unique among all families. */
  readonly presets: Readonly<Record<string, PresetSizes>>;
  /** The model of a configuration that is valid. */
  create(config: ModelConfig): ModelGraphs;
  /** Forward FLOPs per token of a layer with sequences of `seq`. */
  layerFlops(config: ModelConfig, seq: number, options?: FlopOptions): number;
  /** Forward FLOPs per token of the head. */
  headFlops(config: ModelConfig, options?: FlopOptions): number;
  /** Absent: models of the family cannot be read from such folders or exported. */
  readonly huggingFace?: HuggingFaceFamily;
}
