/**
 * Kinds of argument that several parts of the package take: tensors, devices, stores, models, tokenizers. They go by
 * what an object has, not by its class, and import nothing of the parts. Functions use them as `is.tensor`, along with the
 * kinds of arguments.ts.
 */
import {
  anyNumber,
  array,
  boolean,
  count,
  either,
  float32,
  func,
  having,
  integer,
  type Kind,
  kind,
  list,
  name,
  notNegative,
  number,
  numericArray,
  object,
  oneOf,
  optional,
  options,
  path,
  positive,
  record,
  signal,
  string,
  whole,
} from './arguments.js';

export * from './arguments.js';

export const dtype = oneOf('f32', 'bf16', 'i32');
export const precision = oneOf('f32', 'bf16');
/** Shapes and index lists of ops: which of them are right is the op's own rule (BAD_SHAPE). */
export const shape = list(whole(-(2 ** 32), 2 ** 40));
export const axes = shape;

/** An object whose values are all strings. */
export const texts = kind(
  'an object of strings by key',
  (value) =>
    record.problem(value) === undefined &&
    Object.values(value as Record<string, unknown>).every((text) => typeof text === 'string'),
);

export const tensor = kind('a Tensor (of a Graph)', (value) => {
  const parts = value as { readonly node?: unknown; readonly shape?: unknown; readonly dtype?: unknown } | null;
  return (
    typeof parts === 'object' &&
    parts !== null &&
    typeof parts.node === 'object' &&
    Array.isArray(parts.shape) &&
    typeof parts.dtype === 'string'
  );
});

/** A tensor, or a number in its place. */
export const operand = kind(
  'a Tensor (of a Graph) or a number',
  (value) => typeof value === 'number' || tensor.problem(value) === undefined,
);

export const graph = having('a Graph', ['input', 'output', 'append']);
export const trainingMethod = object('a TrainingMethod (from createMethod)', {
  name: string,
  layers: count,
  settings: record,
  stageAt: func,
  plan: func,
  evaluationMaps: func,
  growth: func,
});
/** A choice of a method with settings, and what else belongs to it; an object with a part `made` is one that was made. */
const methodOr = (made: string, other: Kind, choice: Readonly<Record<string, Kind>> = {}): Kind => {
  const named = options({ method: string, options: optional(record), ...choice });
  const expected = `a name, a method { method, options } or ${other.expected}`;
  return {
    expected,
    problem(value) {
      if (typeof value === 'string') return undefined;
      if (typeof value !== 'object' || value === null) return { path: '', expected, got: value };
      return (made in value ? other : named).problem(value);
    },
  };
};
export const chosenMethod = methodOr('stageAt', trainingMethod);
/** A method of a comparison; one of the caller makes its own. */
export const comparedMethod = methodOr(
  'create',
  object('a method of your own { name, create }', { name: string, create: func }),
  { name: optional(string) },
);
export const objective = object('an Objective { name, trace }', { name, trace: func });
export const trainingCorpus = object('a TrainingCorpus (from trainingCorpus)', {
  key: string,
  vocabSize: optional(count),
  shape: func,
  batch: func,
  heldOutCount: func,
  heldOut: func,
});
export const runGroup = having('a RunGroup', ['stop', 'dispose']);
export const group = having('a Group (from openGroup)', ['sum', 'broadcast', 'close']);
export const device = having('a Device (from openDevice)', ['compile', 'createBuffer', 'info']);
export const store = having('a ParameterStore', ['declare', 'names', 'read']);
export const tokenizer = having('a Tokenizer (from loadTokenizer, createTokenizer or a model folder)', [
  'encode',
  'decode',
]);

/** A model's configuration. Which values fit together is createModel's rule (BAD_CONFIG). */
export const modelConfig = object('a model configuration (from preset, or a ModelConfig)', {
  kind: string,
  layers: count,
  hidden: count,
  heads: count,
  ffn: count,
  vocabSize: count,
  maxPositions: count,
  dropout: number,
  attentionDropout: number,
  epsilon: notNegative,
  initStd: number,
  activation: optional(string),
  tied: optional(boolean),
});

/** An axis of a model's tensors. */
export const axis = oneOf(
  'hidden',
  'heads',
  'keyValueHeads',
  'headSize',
  'ffn',
  'vocab',
  'positions',
  'types',
  'outputs',
);

/** Units along an axis (models.span). */
export const axisSpan = object('a Span (from models.span)', {
  axis,
  size: count,
  module: optional(name),
});

/** Options of a module other than its sizes. */
export const moduleOptions = options({
  layer: optional(whole(0)),
  use: optional(oneOf('branchOutput', 'norm', 'innerNorm', 'headNorm')),
  bias: optional(boolean),
  foreign: optional(list(name, { least: 1 })),
  transposed: optional(boolean),
});

export const modelFamily = object('a ModelFamily', {
  kind: string,
  title: string,
  objective: oneOf('causal', 'masked'),
  norm: oneOf('pre', 'post'),
  hasTypes: boolean,
  activations: list(string, { least: 1 }),
  defaults: func,
  fields: record,
  check: func,
  presets: record,
  create: func,
  layerFlops: func,
  headFlops: func,
  huggingFace: optional(record),
});

export const languageModel = object('a LanguageModel (from createModel)', {
  config: object('a model configuration', { kind: string, layers: count }),
  parameters: func,
  trace: func,
});

export const modelBody = object('a ModelBody { parameters, trace }', { parameters: func, trace: func });
export const batchSize = object('a batch shape { batch, seq }', { batch: number, seq: number });

export const layerMap = list(whole(0), { least: 1 });

/** A model with its weights. */
export const measuredModel = object('a model with its weights (from loadModel)', {
  model: languageModel,
  store,
  layerMap,
});

export const trainedModel = object('a model with its weights (from loadModel)', {
  model: languageModel,
  store,
  layerMap,
  tokenizer: optional(tokenizer),
  ends: optional(list(whole(0))),
});

/** Options by which documents are read. */
export const readFields: Readonly<Record<string, Kind>> = {
  format: optional(string),
  field: optional(kind('a column name or number', (value) => typeof value === 'string' || Number.isInteger(value))),
  header: optional(boolean),
  quotes: optional(boolean),
  decodeEntities: optional(boolean),
};

export const readOptions = options(readFields);

/** A function that gives the weight of a name (see nn/layers.ts). */
export const weights = kind('a Weights function', (value) => typeof value === 'function');
export const activation = oneOf('gelu', 'geluTanh', 'relu', 'silu');

export const stackOptions = object('a StackOptions object', {
  layerMap: list(whole(0), { least: 1 }),
  heads: count,
  ffn: count,
  epsilon: notNegative,
  dropout: number,
  attentionDropout: number,
  causal: boolean,
  activation,
  keyValueHeads: optional(count),
  headSize: optional(count),
  queryKeyNorms: optional(boolean),
  rotaryFrequencies: optional(list(number)),
  norm: optional(oneOf('layer', 'rms')),
  gated: optional(boolean),
  biases: optional(object('{ qkv, attentionOutput, ffn }', { qkv: boolean, attentionOutput: boolean, ffn: boolean })),
  training: boolean,
  mask: optional(tensor),
  branchScales: optional(tensor),
  blockGates: optional(tensor),
  cache: optional(record),
});

export const sampler = having('a DepthSampler (from makeSampler)', ['probabilities', 'expectedDepth', 'sample']);
export const matrix = object('a Matrix { values, rows, columns }', { values: float32, rows: count, columns: count });

export const samplingFields: Readonly<Record<string, Kind>> = {
  temperature: optional(number),
  topK: optional(number),
  topP: optional(number),
  repetitionPenalty: optional(number),
};

export const head = object('a Head (classification, regression, spans)', {
  kind: string,
  targets: record,
  parameters: func,
  output: func,
  loss: func,
});
/** The purpose for which a fine-tuned model is read. */
export const tunedTask = object('a task (from taskByName)', {
  name: string,
  title: string,
  head,
  labels: optional(list(string)),
  maxLength: optional(count),
});
export const task = object('a task (from taskByName)', {
  name: string,
  title: string,
  metrics: list(string, { least: 1 }),
  head,
  read: func,
  features: func,
  score: func,
});
/** Examples of a task under a name. */
export const split = object('a split { name, examples }', { name: string, examples: array });
/** Points of a curve of losses. */
export const lossPoint = object('a point { step, loss }', { step: number, loss: anyNumber });
const costFields = { flopsModel: anyNumber, flopsLayers: anyNumber, flopsExecuted: anyNumber, trainMs: anyNumber };
export const costs = object('costs { flopsModel, flopsLayers, flopsExecuted, trainMs }', costFields);
export const evaluation = object('an evaluation of a run (EvaluationPoint)', {
  step: number,
  tokens: number,
  ...costFields,
  lossFull: anyNumber,
  lossStage: anyNumber,
});
export const evaluations = list(evaluation);
export const results = object('the results of a comparison (from readResults)', {
  settings: record,
  layers: count,
  totalSteps: count,
  reference: string,
  runs: list(object('a run', { method: string, seed: integer, stages: list(record), evaluations })),
});
export const analysis = object('an analysis (from analyse)', {
  reference: string,
  target: anyNumber,
  referenceCosts: costs,
  complete: boolean,
  methods: list(object('the analysis of a method', { method: string, seeds: list(record) }), { least: 1 }),
});
const scores = kind('scores by name', (value) => record.problem(value) === undefined);
export const fineTuneResults = object('the results of fine-tuning (FineTuneResults)', {
  task: string,
  title: string,
  metrics: list(string),
  splits: list(string),
  settings: record,
  variants: list(object('a variant', { name: string, seeds: list(object('a seed', { best: record, last: record })) })),
  baselines: list(object('a baseline', { name: string, metrics: scores })),
});
export const rows = list(list(string));

const squadQuestion = object('a SquadQuestion', {
  id: string,
  question: string,
  context: string,
  answers: list(record),
});
export const question = squadQuestion;
export const gold = list(object('a question { id, answers }', { id: string, answers: list(string) }));
export const span = object('a span { start, end }', { start: whole(0), end: whole(0) });
export const encodedQuestion = object('an EncodedQuestion (from encodeQuestion)', {
  question: squadQuestion,
  questionIds: numericArray,
  contextIds: numericArray,
  contextOffsets: numericArray,
});
export const windows = list(
  object('a SquadWindow (from windowsOf)', {
    source: encodedQuestion,
    contextStart: whole(0),
    contextEnd: whole(0),
    firstContext: whole(0),
  }),
);
/** Texts by question id. */
export const predictions = object('an object of answers by question id', {});
export const questionPredictions = list(
  object('a QuestionPrediction (from predictQuestion)', { id: string, text: string, candidates: list(record) }),
);

export const states = having('a StateStore', ['names', 'read', 'bind']);
export const tensorType = object('a TensorType { shape, dtype }', { shape, dtype });
export const opDefinition = object('an OpDefinition (from defineOp)', { name, shape: func });
export const stateLayout = object('a StateLayout', { optimizer: string, of: func });
export const parameterShape = object('a parameter { shape, matrices }', { shape, matrices: optional(shape) });
export const runOptions = options({
  signal: optional(signal),
  group: optional(runGroup),
  profile: optional(boolean),
  binding: optional(object('a Binding (from Program.bind)', { checkOpen: func })),
});
export const feature = object('a Feature { tokens, types }', { tokens: numericArray, types: numericArray });
export const bodySource = object('a BodySource (from trainedSource or untrainedSource)', {
  config: modelConfig,
  layerMap,
  read: func,
  pooler: optional(having('a Map', ['get'])),
  key: string,
});
export const layerFlops = object('{ layer, head }', { layer: positive, head: notNegative });
export const dropOptions = object('{ limit, gamma }', { limit: number, gamma: number });
export const operatorSeed = object('{ seed, operator }', { seed: integer, operator: whole(0, 2 ** 32 - 1) });
export const samplerShape = options({
  excess: optional(number),
  end: optional(number),
  slope: optional(number),
  fixed: optional(number),
  layer: optional(number),
  power: optional(number),
});
const times = list(number);
export const boundaries = either(
  object('{ fractions }', { fractions: times }),
  object('{ epochs, stepsPerEpoch }', { epochs: times, stepsPerEpoch: positive }),
  object('{ tokens, tokensPerStep }', { tokens: times, tokensPerStep: positive }),
  object('{ steps }', { steps: times }),
);
export const savedTokenizer = object('a Tokenizer (from loadTokenizer or createTokenizer)', {
  kind: string,
  definition: record,
  specials: record,
});
export const bytes = kind('a Uint8Array', (value) => value instanceof Uint8Array);
export const tokenSource = object('a TokenSource', { tokenCount: whole(0), vocabSize: count, read: func });
export const corpusInput = either(
  path,
  options({ path: either(path, list(path, { least: 1 })), weight: optional(number), ...readFields }),
);
