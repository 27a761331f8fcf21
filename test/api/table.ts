/**
 * Arguments of every function of the package: for each argument a valid value, and which wrong ones it takes too. A new
 * export needs its line here.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { IdBuffer } from '../../lib/data/tokenizer/id-buffer.js';
import { alone } from '../../lib/dist/index.js';
import { nativeOf } from '../../lib/engine/device.js';
import {
  AdamW,
  Device,
  defineOp,
  Graph,
  openDevice,
  ParameterStore,
  Program,
  RunGroup,
  StateStore,
  type Tensor,
} from '../../lib/engine/index.js';
import { classification } from '../../lib/eval/finetune/heads/sequence.js';
import { NetworkPrograms } from '../../lib/eval/finetune/network.js';
import { taskByName } from '../../lib/eval/finetune/tasks.js';
import { Decoder } from '../../lib/eval/generate/decoder.js';
import { makeSampler, makeSchedule } from '../../lib/growth/index.js';
import { encodeSafetensors, SafetensorsReader } from '../../lib/interop/safetensors.js';
import { EventFileWriter } from '../../lib/interop/tensorboard.js';
import { createMethod } from '../../lib/methods/index.js';
import { createModel, declareSpecs, familyOf, span } from '../../lib/models/index.js';
import { analyse } from '../../lib/report/index.js';
import { temporaryFolder, tinyConfig, tinyTokenizer } from '../eval/support.js';
import {
  type Arguments,
  also,
  anyNumber,
  boolean,
  type Domain,
  defaulted,
  func,
  integer,
  list,
  made,
  maybe,
  maybeOptions,
  name,
  notNegative,
  number,
  object,
  only,
  options,
  record,
  settings,
  text,
  whole,
  without,
} from './domains.js';

export const device: Device = await openDevice({ threads: 1 });
const folder = temporaryFolder();
const before = process.cwd();
/** Some wrong values are right as paths: what is written there is written to the temporary folder. */
export const enter = () => process.chdir(folder);
const tokenizer = await tinyTokenizer('gpt');
const config = tinyConfig('gpt', tokenizer.vocabSize, 16);
const model = createModel(config);
const store = new ParameterStore(device);
declareSpecs(store, model.parameters(2));
const states = new StateStore(device);
const trained = { model, store, layerMap: [0, 1], tokenizer };
const head = classification(2);
const task = taskByName('sst2');
const tensorsFile = await encodeSafetensors([
  { name: 'a', dtype: 'F32', shape: [1], data: new Float32Array(1) },
  { name: 'i', dtype: 'I32', shape: [1], data: new Int32Array(1) },
]);
const reader = await SafetensorsReader.fromBytes(tensorsFile);
const writer = await EventFileWriter.open(join(folder, 'events'));

let graph = new Graph();
let used = 0;
/** A graph of the calls that follow; a new one now and then, because a graph keeps all that is recorded. */
function currentGraph(): Graph {
  if (++used % 500 === 0) graph = new Graph();
  return graph;
}
let fresh = 0;
const tensorOf = (shape: readonly number[], dtype: 'f32' | 'i32' = 'f32'): Tensor =>
  graph.input(`t${shape.join('x')}${dtype}`, shape, dtype);
const program: Program = await (async () => {
  const g = new Graph();
  g.output('y', g.input('x', [2]).add(1));
  return device.compile(g);
})();
const decoder = new Decoder(trained, { length: 8 });
const networks = new NetworkPrograms({ device, store, model, layerMap: [0, 1], head, batch: 1 });
const optimizerStore = new ParameterStore(device);
optimizerStore.declare({ name: 'w', shape: [2], workingCopy: false, decay: false });
const adamw = new AdamW(optimizerStore);
const op = defineOp({ name: 'testOfArguments', shape: ([x]) => [x!] });

export async function teardown(): Promise<void> {
  process.chdir(before);
  await writer.close();
  await device.close();
  rmSync(folder, { recursive: true, force: true });
}

// Arguments that many functions have.
const aDevice = only(device);
const x = made(() => tensorOf([2, 2]));
const ids = made(() => tensorOf([2], 'i32'));
const ids2 = made(() => tensorOf([1, 2], 'i32'));
const x3 = made(() => tensorOf([1, 2, 6]));
const vector = made(() => tensorOf([2]));
const operand = also(x, 'fraction', 'negative', 'large', 'NaN');
const shape = list([2, 2]);
const dtype = only('f32');
const sig = maybe(only(new AbortController().signal));
const aPath = (last = 'none'): Domain => name(join(folder, last));
const word = text('a');
const floats = only(new Float32Array(4));
const numbers = list([1, 2]);
const ownGraph = made(() => currentGraph());
const weights = func((key: string, of: readonly number[]) => graph.input(`w${key}${of.join('x')}`, of));
const aTokenizer = only(tokenizer);
const aModel = only(model);
const aTrained = only(trained);
const aStore = only(store);
const configuration = only(config);
const aTask = only(task);
const epsilon = maybe(notNegative(1e-5));
const probability = number(0);
const progress = maybe(func(() => undefined));
const reading = {
  format: maybe(text('text')),
  field: maybe(also(text('text'), 'negative', 'large')),
  header: maybe(boolean(false)),
  quotes: maybe(boolean(false)),
  decodeEntities: maybe(boolean(false)),
};
const sampling = {
  temperature: maybe(number(1)),
  topK: maybe(number(0)),
  topP: maybe(number(1)),
  repetitionPenalty: maybe(number(1)),
};
const trainedLayers = number(2);
const layers = number(4);
const unary: Arguments = { x };
const binary: Arguments = { a: x, b: operand };
const reduction: Arguments = {
  x,
  axes: maybe(also(list([0]), 'fraction', 'negative', 'large')),
  keepDims: maybe(boolean(false)),
  dtype: maybe(dtype),
};
const tensorType = options({ shape, dtype });
const anOpen = { ...tensorType, closed: false };
const layout = only(adamw.state);
const parameter = object({ shape, matrices: maybe(list([2])) });
const optimizerOptions = {
  beta1: maybe(number(0.9)),
  beta2: maybe(number(0.9)),
  epsilon: maybe(number(1e-8)),
  weightDecay: maybe(number(0)),
  maxNorm: maybe(number(0)),
};
const muonOptions = {
  ...optimizerOptions,
  momentum: maybe(number(0.9)),
  nesterov: maybe(boolean(true)),
  iterations: maybe(number(5)),
  precision: maybe(text('f32')),
  adjust: maybe(text('original')),
  rateFactor: maybe(number(1)),
};
const anObjective = also(object({ name: text('own'), trace: func(() => ({})) }), 'object');
const run = maybeOptions({
  signal: sig,
  group: maybe(only(new RunGroup())),
  profile: maybe(boolean(false)),
  binding: maybe(only(program.bind((n) => n))),
});
const stackOptions = object({
  layerMap: only([0]),
  heads: whole(1),
  ffn: whole(8),
  epsilon: notNegative(1e-5),
  dropout: number(0),
  attentionDropout: number(0),
  causal: boolean(true),
  activation: only('gelu'),
  queryKeyNorms: maybe(boolean(false)),
  training: boolean(false),
  mask: maybe(ids2),
  branchScales: maybe(vector),
  blockGates: maybe(vector),
});
const activation = only('gelu');
const seed = integer(1);
const layerMap = list([0, 1]);
const matrix = object({ values: only(new Float32Array(4)), rows: whole(2), columns: whole(2) });
const sampler = only(makeSampler('edge'));
const samplerShape = (...keys: string[]) =>
  maybeOptions(Object.fromEntries(keys.map((key) => [key, maybe(number(0.5))])));
const anyShape = samplerShape('excess', 'end', 'slope', 'fixed', 'layer', 'power');
const dropOptions = object({ limit: number(0.5), gamma: number(0.1) });
const operatorSeed = object({ seed, operator: whole(1) });
const boundaries = only({ steps: [5] });
const flops = object({ layer: notNegative(2), head: notNegative(1) });
const positiveFlops = { ...flops };
const gold = list([{ id: 'q', answers: ['Ann'] }]);
const answers = record({ q: 'Ann' });
const costs = { flopsModel: 1, flopsLayers: 1, flopsExecuted: 1, trainMs: 1 };
const someCosts = only(costs);
const evaluation = { step: 0, tokens: 0, ...costs, lossFull: 1, lossStage: 1 };
const evaluations = list([evaluation]);
const someResults = {
  format: 'apollo-lm/results/1' as const,
  created: '',
  settings: {},
  layers: 2,
  totalSteps: 2,
  reference: 'scratch',
  runs: [{ method: 'scratch', seed: 1, finished: true, stages: [], evaluations: [evaluation, evaluation, evaluation] }],
};
const results = only(someResults);
const analysis = only(analyse(someResults));
const rows = list([['a']]);
const maximum = { maxLength: maybe(whole(8)) };
const tag = text('a');
const exporting = {
  dtype: maybe(only('f32')),
  shardBytes: maybe(whole(1000)),
  force: maybe(boolean(false)),
  signal: sig,
  onProgress: progress,
};
const map = list([0, 1]);
const squadOptions = maybeOptions({
  docStride: maybe(whole(128)),
  maxQuestion: maybe(whole(64)),
  nBest: maybe(whole(20)),
  maxAnswer: maybe(whole(30)),
  nullThreshold: maybe(number(0)),
  train: maybe(name('a')),
  dev: maybe(name('a')),
});

const engine: Record<string, Arguments> = {
  AdamW: { store: made(() => new ParameterStore(device)), options: maybeOptions(optimizerOptions) },
  'AdamW#prepare': { this: only(adamw), names: list(['w']) },
  'AdamW#step': {
    this: only(adamw),
    names: list(['w']),
    options: options({
      learningRate: number(1e-3),
      gradScale: maybe(number(1)),
      rateFactor: maybe(func(() => 1)),
      active: maybe(func(() => true)),
      group: maybe(only(new RunGroup())),
    }),
  },
  Muon: { store: made(() => new ParameterStore(device)), options: maybeOptions(muonOptions) },
  RunGroup: { signal: sig },
  Device: { native: only(nativeOf(device)) },
  'Device#compile': {
    this: aDevice,
    graph: ownGraph,
    options: maybeOptions({
      store: maybe(aStore),
      states: maybe(only(states)),
      parameters: maybe(func((n: string) => n)),
    }),
  },
  'Device#createBuffer': { this: aDevice, dtype, elements: whole(2) },
  Graph: {},
  'Graph#input': {
    this: ownGraph,
    name: also(
      made(() => `i${fresh++}`),
      'string',
      'long',
    ),
    shape,
    dtype: maybe(dtype),
  },
  'Graph#parameter': {
    this: ownGraph,
    name: also(
      made(() => `p${fresh++}`),
      'string',
      'long',
    ),
    shape,
    dtype: maybe(dtype),
  },
  'Graph#state': {
    this: ownGraph,
    name: also(
      made(() => `s${fresh++}`),
      'string',
      'long',
    ),
    shape,
    dtype: maybe(dtype),
  },
  'Graph#constant': { this: ownGraph, value: anyNumber(1), shape: maybe(shape), dtype: maybe(dtype) },
  'Graph#output': { this: only(new Graph()), name: name('y'), tensor: x },
  'Graph#append': { this: ownGraph, op: only(op), inputs: list([]), attrs: record({}), types: list([]) },
  'Graph#replace': { this: only(new Graph()), from: x, to: x },
  'Graph#resolve': { this: only(new Graph()), tensor: x },
  ParameterStore: { device: aDevice, options: maybe(options({ precision: dtype })) },
  'ParameterStore#declare': {
    this: made(() => new ParameterStore(device)),
    spec: object({
      name: name('n'),
      shape,
      workingCopy: boolean(false),
      decay: boolean(false),
      matrices: maybe(list([2])),
    }),
  },
  'ParameterStore#keepState': { this: made(() => new ParameterStore(device)), layout },
  'ParameterStore#keepAlso': {
    this: made(() => new ParameterStore(device)),
    slots: list(object({ name: word, power: whole(1) })),
  },
  'ParameterStore#slots': { this: only(optimizerStore), name: word },
  'ParameterStore#has': { this: aStore, name: word },
  'ParameterStore#spec': { this: aStore, name: word },
  'ParameterStore#write': { this: only(optimizerStore), name: text('w'), values: only(new Float32Array(2)) },
  'ParameterStore#read': { this: aStore, name: word },
  'ParameterStore#zeroMoments': { this: aStore, name: word },
  'ParameterStore#moments': { this: only(optimizerStore), name: word },
  'ParameterStore#writeMoments': {
    this: only(optimizerStore),
    name: text('w'),
    moments: object({ slots: list([]), count: whole(0) }),
  },
  'ParameterStore#count': { this: only(optimizerStore), name: word },
  'ParameterStore#setCount': { this: only(optimizerStore), name: text('w'), count: number(0) },
  'ParameterStore#copy': {
    this: only(optimizerStore),
    from: text('w'),
    to: text('w'),
    options: options({ moments: only('copy') }),
  },
  'ParameterStore#shardState': {
    this: only(optimizerStore),
    group: only({
      collect: () => Promise.resolve(),
      allGather: () => Promise.resolve(),
      sumDoubles: () => Promise.resolve(),
    }),
  },
  'ParameterStore#rebuild': {
    this: made(() => new ParameterStore(device)),
    parameters: list([]),
  },
  'ParameterStore#gradient': { this: aStore, name: word },
  'ParameterStore#remove': { this: aStore, name: word },
  'ParameterStore#hasWorkingCopy': { this: aStore, name: word },
  'ParameterStore#bind': { this: aStore, kind: text('value'), name: word, shape },
  'ParameterStore#bindSlot': { this: aStore, slot: word, name: word },
  Program: { parts: only(programParts()), release: func(() => undefined) },
  'Program#bind': { this: only(program), names: func((n: string) => n) },
  'Program#run': { this: only(program), inputs: maybe(record({ x: [1, 2] })), options: run },
  StateStore: { device: aDevice },
  'StateStore#read': { this: only(states), name: word },
  'StateStore#write': { this: only(states), name: word, values: floats },
  'StateStore#bind': {
    this: only(states),
    name: also(
      made(() => `b${fresh++}`),
      'string',
      'long',
      'empty',
    ),
    type: anOpen,
  },
  Tensor: { node: made(() => tensorOf([2, 2]).node), index: whole(0), shape, dtype },
  ...Object.fromEntries(
    [
      'abs',
      'cos',
      'erf',
      'exp',
      'log',
      'neg',
      'reciprocal',
      'relu',
      'rsqrt',
      'sigmoid',
      'sign',
      'silu',
      'sin',
      'sqrt',
      'square',
      'tanh',
      'argmax',
      'columnSum',
      'logSoftmax',
      'softmax',
    ].map((op) => [op, unary]),
  ),
  ...Object.fromEntries(
    [
      'add',
      'div',
      'equal',
      'greater',
      'greaterEqual',
      'less',
      'lessEqual',
      'maximum',
      'minimum',
      'mul',
      'notEqual',
      'pow',
      'sub',
    ].map((op) => [op, binary]),
  ),
  ...Object.fromEntries(['max', 'mean', 'min', 'sum'].map((op) => [op, reduction])),
  accumulateGradients: {
    loss: made(() => tensorOf([2, 2]).sum()),
    options: maybeOptions({
      scale: maybe(also(vector, 'fraction', 'negative', 'large', 'NaN')),
      trainable: maybe(func(() => true)),
      guard: maybe(boolean(true)),
      sumLoss: maybe(boolean(true)),
    }),
  },
  gradients: { loss: made(() => tensorOf([2, 2]).sum()), wrt: list([]) },
  appendToCache: { qkv: x3, cache: options({ keys: x3, values: x3 }), positions: ids2 },
  cachedAttention: {
    qkv: x3,
    cache: options({ keys: x3, values: x3 }),
    positions: ids2,
    options: options({ heads: number(1), keyValueHeads: maybe(number(1)), scale: maybe(number(1)) }),
  },
  attention: {
    source: made(() => ({ qkv: tensorOf([1, 2, 6]) })),
    options: options({
      heads: number(1),
      keyValueHeads: maybe(number(1)),
      causal: maybe(boolean(true)),
      mask: maybe(ids2),
      p: maybe(number(0)),
      scale: maybe(number(1)),
    }),
  },
  broadcastTo: { x, shape },
  cast: { x, dtype },
  concat: { tensors: list([]), axis: number(0) },
  copyBandwidth: { device: aDevice, megabytes: defaulted(whole(1)) },
  matmulPeak: { device: aDevice, dtype, shapes: defaulted(only([[2, 2, 2]])) },
  createOptimizer: {
    name: text('adamw'),
    store: made(() => new ParameterStore(device)),
    options: { ...options(optimizerOptions), takes: ['object'] },
  },
  optimizerState: { name: text('adamw') },
  updateFlops: { name: text('adamw'), spec: parameter, options: maybeOptions({ iterations: maybe(whole(5)) }) },
  crossEntropy: { logits: x, labels: ids },
  lmHeadLoss: { x, table: x, labels: ids, options: maybeOptions({ bias: maybe(vector) }) },
  dropout: { x, p: probability },
  embedding: { table: x, ids },
  evaluate: {
    build: func((g: Graph) => g.input('x', [2])),
    inputs: maybe(record({ x: [1, 2] })),
    options: maybeOptions({ device: maybe(aDevice) }),
  },
  fromBfloat16: { bits: only(new Uint16Array(2)) },
  toBfloat16: { values: floats },
  gatherRows: { x, rows: ids },
  scatterRows: { y: x, rows: ids, rowCount: whole(2) },
  gelu: { x, options: maybeOptions({ tanh: maybe(boolean(true)) }) },
  swiglu: { x },
  graphFlops: { graph: ownGraph },
  layerNorm: { x, weight: vector, bias: vector, options: maybeOptions({ epsilon }) },
  residualNorm: {
    x,
    residual: x,
    weight: vector,
    bias: vector,
    options: maybeOptions({ epsilon, p: maybe(number(0)) }),
  },
  rmsNorm: { x, weight: vector, options: maybeOptions({ epsilon }) },
  residualRmsNorm: { x, residual: x, weight: vector, options: maybeOptions({ epsilon, p: maybe(number(0)) }) },
  rotary: {
    x: x3,
    options: options({ headSize: whole(2), heads: whole(1), frequencies: list([1]), positions: maybe(ids2) }),
  },
  rotaryFrequencies: {
    headSize: whole(2),
    theta: notNegative(10_000),
    scaling: maybe(object({ type: only('linear'), factor: notNegative(2) })),
  },
  matmul: {
    a: x,
    b: x,
    options: maybeOptions({
      transA: maybe(boolean(false)),
      transB: maybe(boolean(false)),
      bias: maybe(vector),
      activation: maybe(only('gelu')),
      dtype: maybe(dtype),
    }),
  },
  openDevice: {
    options: maybeOptions({
      kind: maybe(text('cpu')),
      threads: maybe(number(1)),
      index: maybe(number(0)),
      tf32: maybe(boolean(false)),
      matmulCache: maybe(text('')),
      memoryLimitBytes: maybe(number(0)),
    }),
  },
  reshape: { x, shape },
  scale: { x, alpha: anyNumber(2), beta: maybe(anyNumber(0)) },
  slice: { x, starts: list([0, 0]), sizes: list([1, 1]) },
  stateBytes: { layout, spec: parameter },
  transpose: { x, perm: maybe(list([1, 0])) },
  where: { condition: made(() => tensorOf([2, 2], 'i32')), a: operand, b: operand },
};

function programParts(): unknown {
  return (program as unknown as { parts: unknown }).parts;
}

// The methods of tensors are the ops, with the tensor as the first argument.
const tensorMethods = Object.fromEntries(
  'abs add argmax broadcastTo cast cos div dropout equal erf exp gatherRows gelu greater greaterEqual layerNorm less lessEqual log logSoftmax matmul max maximum mean min minimum mul neg notEqual pow reciprocal relu reshape rmsNorm rsqrt scale sigmoid sign silu sin slice softmax sqrt square sub sum swiglu tanh transpose'
    .split(' ')
    .map((op) => {
      const [first, ...rest] = Object.entries(engine[op]!);
      return [`Tensor#${op}`, { this: first![1], ...Object.fromEntries(rest) }] as const;
    }),
);

const evaluationTable: Record<string, Arguments> = {
  Decoder: { trained: aTrained, options: maybeOptions({ batch: maybe(number(1)), length: maybe(number(8)) }) },
  'Decoder#begin': { this: only(decoder), sequences: list([[1]]), options: run },
  'Decoder#next': { this: only(decoder), tokens: numbers, options: run },
  NetworkPrograms: {
    options: options({
      device: aDevice,
      store: aStore,
      model: aModel,
      layerMap: only([0]),
      head: only(head),
      batch: whole(1),
      accumulation: maybe(whole(1)),
    }),
  },
  'NetworkPrograms#has': { this: only(networks), seq: whole(2) },
  'NetworkPrograms#training': { this: only(networks), seq: whole(2) },
  'NetworkPrograms#prediction': { this: only(networks), seq: whole(2) },
  candidates: {
    logits: floats,
    options: object({ temperature: number(1), topK: number(0), topP: number(1), repetitionPenalty: number(1) }),
    seen: maybe(also(list([]), 'nested')),
  },
  draw: { candidates: only({ ids: new Int32Array(1), probabilities: Float64Array.of(1) }), u: number(0.5) },
  likeliest: { logits: floats, repetitionPenalty: maybe(notNegative(1)), seen: maybe(also(list([]), 'nested')) },
  fineTune: {
    options: record({ maxLength: 8 }),
    deps: options({
      device: aDevice,
      task: aTask,
      data: only({ train: [], evaluations: [] }),
      source: only({ config, layerMap: [0], read: () => undefined, key: 'k' }),
      tokenizer: aTokenizer,
      folder: maybe(aPath()),
      signal: sig,
    }),
  },
  classification: { classes: whole(2) },
  regression: {},
  evaluateTask: {
    options: options({
      device: aDevice,
      folder: aPath(),
      task: aTask,
      data: only({ evaluations: [], tests: [] }),
      batch: whole(1),
      precision: maybe(dtype),
      signal: sig,
      onProgress: progress,
    }),
  },
  exportFineTuned: { folder: aPath(), out: aPath('out'), options: maybeOptions({ task: maybe(aTask), ...exporting }) },
  fillMask: { trained: aTrained, text: word, options: maybeOptions({ topK: maybe(number(1)), signal: sig }) },
  generate: {
    trained: aTrained,
    prompt: also(text('a'), 'array'),
    options: maybeOptions({
      maxTokens: maybe(number(1)),
      greedy: maybe(boolean(true)),
      stop: maybe(list(['a'])),
      eos: maybe(also(list([1]), 'null', 'fraction', 'NaN', 'negative', 'large')),
      seed: maybe(seed),
      samples: maybe(number(1)),
      signal: sig,
      ...sampling,
    }),
  },
  isFineTuned: { folder: aPath() },
  readFineTuned: { folder: aPath() },
  lambada: {
    device: aDevice,
    measured: aTrained,
    tokenizer: aTokenizer,
    texts: list([]),
    options: options({ batch: whole(1), signal: sig, onProgress: progress }),
  },
  loadFineTuned: { device: aDevice, folder: aPath(), task: aTask, precision: maybe(dtype) },
  openFineTuned: { folder: aPath(), task: aTask },
  predict: {
    programs: only(networks),
    features: list([]),
    options: options({
      head: only(head),
      batch: whole(1),
      maxLength: whole(8),
      padId: whole(0),
      signal: sig,
      onProgress: progress,
    }),
  },
  readPassages: { path: aPath(), options: maybeOptions(reading) },
  readTokens: {
    inputs: list([join(folder, 'none')]),
    tokenizer: aTokenizer,
    options: maybeOptions({ signal: sig, onNote: progress, ...reading }),
  },
  sequenceEncoder: {
    tokenizer: aTokenizer,
    config: configuration,
    maxLength: number(8),
    frame: maybe(text('tokenizer')),
  },
  'squad.exactMatch': { prediction: word, gold: word },
  'squad.f1': { prediction: word, gold: word, options: maybeOptions({ emptyMatches: maybe(boolean(true)) }) },
  'squad.normalizeAnswer': { text: word },
  'squad.officialScores': {
    scores: object({ exact: anyNumber(1), f1: anyNumber(1), total: anyNumber(1) }),
  },
  'squad.parseSquad': {
    // A value that is not a data set is BAD_CORPUS: it comes from a file.
    json: also(
      record({}),
      'null',
      'fraction',
      'NaN',
      'negative',
      'large',
      'string',
      'long',
      'empty',
      'boolean',
      'array',
      'nested',
    ),
    name: word,
  },
  'squad.readSquad': { path: aPath(), options: maybeOptions({ signal: sig }) },
  'squad.scoreV1': { questions: gold, predictions: answers },
  'squad.scoreV2': {
    questions: gold,
    predictions: answers,
    options: maybeOptions({ nullOdds: maybe(record({ q: 1 })), threshold: maybe(number(0)) }),
  },
  'squad.squadTask': { version: only(1), options: squadOptions },
  taskByName: { name: text('sst2') },
  textLoss: {
    device: aDevice,
    measured: aTrained,
    tokenizer: aTokenizer,
    text: only({ ids: new Int32Array(4), bytes: 4, documents: 1 }),
    options: options({
      batch: whole(1),
      seq: maybe(number(4)),
      stride: maybe(number(2)),
      signal: sig,
      onProgress: progress,
    }),
  },
  trainedSource: { folder: only({ config, layerMap: [0], read: async () => new Float32Array(1) }) },
  untrainedSource: { config: configuration },
};

const growthTable: Record<string, Arguments> = {
  Mt19937: { seed: number(1) },
  advancedColumns: { own: floats, next: floats, isNew: func(() => true) },
  annealedDropProbability: {
    place: options({ layer: whole(0), layers: whole(2) }),
    time: options({ step: whole(0), steps: whole(2) }),
    highest: only(0.5),
  },
  blockDiagonal: { matrix, blocks: maybe(list([2])) },
  boundarySteps: { boundaries, totalSteps: whole(10) },
  checkMatrix: { matrix },
  compose: { inner: map, outer: map },
  copyCounts: { map, from: whole(2) },
  curveBoundaries: {
    means: list([1, 2]),
    rule: options({ window: number(1), costs: only([1, 2]), latest: list([5]), margin: number(1) }),
  },
  defaultFractions: { stages: whole(4) },
  defaultStageLayers: { layers: whole(4) },
  divideVector: { values: floats, map },
  duplicationMap: { from: number(2), to: number(4), rule: only('even') },
  expandGroups: { map, width: whole(2) },
  expandMatrix: { matrix, maps: options({ rows: maybe(map), columns: maybe(map) }) },
  expandMatrixRows: { matrix, maps: options({ rows: maybe(map), columns: maybe(map) }) },
  expandVector: { values: floats, map },
  sideBySide: { blocks: list([{ map: [0, 1], from: 2 }]) },
  growThrough: { stageLayers: only([1, 2]), expand: func(() => [0]) },
  initialDepthWeights: {
    init: only('stackbert'),
    place: options({ layer: whole(0), small: whole(1), large: whole(2) }),
    from: operatorSeed,
  },
  initialWidthRows: {
    init: only('rand'),
    sizes: options({ added: whole(1), old: whole(1) }),
    from: operatorSeed,
    noise: maybe(notNegative(0)),
  },
  interpolate: { trainedLayers, depth: layers },
  stack: { trainedLayers, depth: layers },
  stackModulo: { trainedLayers, depth: layers },
  stackTop: { trainedLayers, depth: layers },
  keepLevel: { step: notNegative(0), options: dropOptions },
  keepProbability: { step: notNegative(0), layer: whole(0), layers: whole(2), options: dropOptions },
  makeCost: { shape: anyShape },
  makeEdge: { shape: anyShape },
  makeLvps: { shape: anyShape },
  makeSampler: { name: only('edge'), shape: anyShape },
  makeSchedule: { options: options({ stageLayers: only([1, 2]), boundaries, totalSteps: number(10) }) },
  mixingTime: {
    options: options({
      grown: list([]),
      fixed: list([]),
      grownAt: number(1),
      epsilon: maybe(number(0.1)),
      window: maybe(number(1)),
    }),
  },
  momentFactors: { scale: anyNumber(1) },
  philox4x32: { counter: only([0, 0, 0, 0]), key: only([0, 0]) },
  proportionalFractions: { stages: whole(2), alpha: number(1) },
  relativeCost: { sampler, trainedLayers, layers, flops: positiveFlops },
  relativeRunCost: {
    sampler,
    schedule: only(makeSchedule({ stageLayers: [1, 2], boundaries: { steps: [5] }, totalSteps: 10 })),
    totalSteps: whole(10),
    flops: positiveFlops,
  },
  repeatMiddleBlock: { block: number(1) },
  repeatMiddleLayers: { block: number(1) },
  repeatNewMiddle: { block: number(1) },
  rewarmFactor: { step: notNegative(0), steps: notNegative(1) },
  sampleDepth: { sampler, trainedLayers, layers, seed: number(1), step: number(0) },
  seedWords: { seed: number(1) },
  uniformNumber: { seed: number(1), stream: number(1), step: number(1) },
};

const aSpan = object({ axis: only('hidden'), size: whole(2), module: maybe(name('attention.value')) });
const moduleOptions = maybeOptions({
  layer: maybe(whole(0)),
  use: maybe(only('norm')),
  bias: maybe(boolean(true)),
  foreign: maybe(list(['a'])),
  transposed: maybe(boolean(true)),
});
const aBatch = object({ batch: number(1), seq: number(4) });

/** Any finite number above 0. */
const positiveNumber = notNegative(1);

const models: Record<string, Arguments> = {
  attentionFlops: {
    width: whole(2),
    seq: notNegative(4),
    options: maybeOptions({ attention: maybe(only('causal')), headFraction: maybe(number(1)) }),
  },
  bias: { name: name('a'), columns: aSpan, foreign: maybe(name('b')) },
  bodyInputs: {
    graph: ownGraph,
    config: configuration,
    batch: aBatch,
    options: object({ layerMap: only([0]), training: boolean(false) }),
  },
  causalGraphs: { config: configuration, body: only(model.body), headParameters: list([]) },
  causalHeadFlops: { config: configuration },
  checkTrace: { config: configuration, batch: aBatch, layerMap: only([0]) },
  decodingCache: {
    graph: ownGraph,
    config: configuration,
    batch: aBatch,
    options: object({ training: boolean(false), decoding: maybe(record({})) }),
  },
  linear: {
    module: name('a'),
    inputs: aSpan,
    outputs: list([span('hidden', 2)]),
    std: positiveNumber,
    options: moduleOptions,
  },
  norm: { module: name('a'), columns: aSpan, options: moduleOptions },
  outputMatrix: { config: configuration, weights },
  outputParameters: { config: configuration, foreign: maybe(name('a')) },
  span: { axis: only('hidden'), size: whole(2), module: maybe(name('a')) },
  table: {
    name: name('a'),
    rows: aSpan,
    columns: aSpan,
    std: positiveNumber,
    options: maybeOptions({ foreign: maybe(name('b')), zeroRow: maybe(whole(0)) }),
  },
};

const nn: Record<string, Arguments> = {
  activatedLinear: {
    x,
    weights,
    name: name('a'),
    outputs: whole(2),
    activation,
    training: boolean(false),
    bias: maybe(boolean(true)),
  },
  addScaleNorm: {
    x,
    residual: x,
    weights,
    name: name('a'),
    options: options({ epsilon: notNegative(1e-5), p: number(0) }),
  },
  scaleNorm: { x, weights, name: name('a'), epsilon: notNegative(1e-5) },
  addNorm: { x, residual: x, weights, name: name('a'), options: options({ epsilon: notNegative(1e-5), p: number(0) }) },
  atPositions: { hidden: x, positions: ids },
  feedForward: { x: x3, weights, prefix: name('a'), options: stackOptions },
  flatten: { x },
  linear: {
    x,
    weights,
    name: name('a'),
    outputs: whole(2),
    options: maybeOptions({ activation: maybe(only('gelu')), bias: maybe(boolean(true)) }),
  },
  mlmTransform: {
    rows: x,
    weights,
    options: options({ epsilon: notNegative(1e-5), activation, training: boolean(false) }),
  },
  norm: { x, weights, name: name('a'), epsilon: notNegative(1e-5) },
  postNormStack: { x: x3, weights, options: stackOptions },
  preNormStack: { x: x3, weights, finalNorm: name('a'), options: stackOptions },
  selfAttention: { x: x3, weights, prefix: name('a'), options: stackOptions, place: maybe(whole(0)) },
  tiedLogits: { rows: x, table: x, bias: maybe(vector) },
  tiedLoss: { rows: x, table: x, labels: ids, bias: maybe(vector) },
  tokenEmbeddings: {
    tokens: ids2,
    weights,
    sizes: object({ vocabSize: whole(4), hidden: whole(2), maxPositions: whole(4), typeVocab: maybe(whole(0)) }),
    types: maybe(ids2),
    positions: maybe(ids2),
  },
};

const report: Record<string, Arguments> = {
  analyse: { results },
  crossing: { evaluations, target: anyNumber(1) },
  depthChart: { results, analysis },
  finalLoss: { evaluations, count: maybe(whole(1)) },
  htmlReport: {
    results,
    analysis,
    options: without(
      maybeOptions({ interactive: without(maybe(boolean(false)), 'undefined', 'boolean') }),
      'undefined',
      'object',
    ),
  },
  lossChart: { results, analysis, cost: only('trainMs') },
  markdownTable: { rows },
  readMetrics: { path: aPath() },
  readResults: { path: aPath() },
  renderSvg: { option: record({}), size: maybeOptions({ width: maybe(whole(10)), height: maybe(whole(10)) }) },
  savings: { spent: someCosts, reference: someCosts },
  spread: { values: numbers },
  tableRows: { analysis },
  textTable: { rows },
  verdicts: { analysis },
  writeResults: { path: name(join(folder, 'file.json')), results },
};

const size = maybe(anyNumber(2));
const modelChanges = maybeOptions({
  layers: size,
  hidden: maybe(anyNumber(32)),
  heads: size,
  vocabSize: maybe(anyNumber(64)),
  maxPositions: size,
  dropout: maybe(anyNumber(0)),
  epsilon: maybe(anyNumber(1e-5)),
  activation: maybe(text('gelu')),
  tied: maybe(boolean(true)),
});

const aSource = object({
  tokenCount: whole(64),
  vocabSize: whole(8),
  read: without(
    func((_: number, n: number) => new Int32Array(n)),
    'function',
  ),
});
const sizes = { batch: whole(1), seq: whole(2) };
/** Rows with room for [CLS] and [SEP]. */
const longer = { batch: whole(1), seq: without(whole(4)) };
const place = { seed: integer(1), step: whole(0), micro: maybe(whole(0)), accumulation: maybe(whole(1)) };
const evaluationBatches = maybe(notNegative(1));
const masks = {
  seed: integer(1),
  clsId: whole(2),
  sepId: whole(3),
  targets: whole(2),
  maskId: whole(4),
  vocabSize: whole(8),
  specialIds: list([2, 3, 4]),
};
const flopOptions = maybeOptions({ attention: maybe(only('model')), headFraction: maybe(notNegative(1)) });

const methodsTable: Record<string, Arguments> = {
  createMethod: {
    name: text('apollo'),
    options: settings({ layers: whole(2), totalSteps: whole(10), seed }),
    context: maybeOptions({ model: maybe(configuration), tokensPerStep: maybe(positiveNumber) }),
  },
  registerMethod: {
    definition: object({
      name: also(
        made(() => `m${fresh++}`),
        'string',
        'long',
      ),
      create: func(() => undefined),
    }),
  },
  identityMap: { layers: whole(2) },
  layerCopies: {
    map: layerMap,
    options: options({ moments: only('copy'), from: whole(2), scale: maybe(positiveNumber) }),
  },
  depthGrowth: {
    options: options({
      schedule: only(makeSchedule({ stageLayers: [1, 2], boundaries: { steps: [5] }, totalSteps: 10 })),
      map: func(() => [0, 0]),
      moments: only('copy'),
      rate: maybe(record({ rewarmSteps: 0, rewarm: 'all', rewarmPeak: 1, rewind: false })),
      gate: maybe(record({ totalSteps: 10 })),
      calibrate: maybe(boolean(false)),
      context: maybeOptions({ model: maybe(configuration), tokensPerStep: maybe(positiveNumber) }),
      shared: maybe(only('keep')),
    }),
  },
};

const ofModels: Record<string, Arguments> = {
  createModel: { config: record({ ...config }) },
  preset: { name: text('gpt-nano'), changes: modelChanges },
  presetNames: {},
  registerFamily: { family: only({ ...familyOf({ kind: 'gpt' }), kind: 'own', presets: {} }) },
  familyKinds: {},
  forwardFlops: { config: configuration, depth: notNegative(2), seq: notNegative(4), options: flopOptions },
  headFlops: { config: configuration, options: flopOptions },
  layerFlops: { config: configuration, seq: notNegative(4), options: flopOptions },
  trainingFlops: { config: configuration, depth: notNegative(2), seq: notNegative(4), options: flopOptions },
  parameterCount: { specs: list([{ shape: [2] }]) },
};

const dataTable: Record<string, Arguments> = {
  createTokenizer: { definition: record({}), name: maybe(text('t')) },
  loadTokenizer: { path: aPath() },
  prepareCorpus: {
    options: options({
      inputs: list([join(folder, 'none')]),
      tokenizer: only({ path: join(folder, 'none') }),
      cacheDir: aPath('cache'),
      heldOut: maybe(number(0.1)),
      heldOutSeed: maybe(seed),
      separator: maybe(only('auto')),
      specialTokensAsText: maybe(boolean(false)),
      workers: maybe(number(0)),
      journalEvery: maybe(whole(10)),
      signal: sig,
      onProgress: progress,
      onNote: progress,
      ...reading,
    }),
  },
  trainTokenizerOnText: {
    texts: list(['a']),
    options: options({
      kind: text('bpe'),
      vocabSize: number(300),
      minCount: maybe(number(1)),
      workers: maybe(number(0)),
      maxDistinctWords: maybe(number(1000)),
      signal: sig,
      onProgress: progress,
    }),
  },
  arraySource: { ids: list([1, 2]), vocabSize: whole(4) },
  blockCount: { source: aSource, content: whole(2) },
  causalBatch: { source: aSource, options: object({ ...sizes, ...place }) },
  heldOutCausalBatches: { source: aSource, options: object({ ...sizes, evaluationBatches }) },
  heldOutMlmBatches: { source: aSource, options: object({ ...longer, ...masks, evaluationBatches }) },
  mlmBatch: { source: aSource, options: object({ ...longer, ...place, ...masks }) },
  mlmCapacity: { positions: whole(8), rows: maybe(whole(1)) },
  mlmIds: {
    tokenizer: object({
      specials: record({ mask: 1, cls: 2, sep: 3 }),
      specialIds: also(list([]), 'nested'),
      vocabSize: whole(8),
    }),
  },
};

const trainTable: Record<string, Arguments> = {
  loadModel: {
    device: aDevice,
    path: aPath(),
    options: maybeOptions({ precision: maybe(dtype), depth: maybe(only('full')), seed: maybe(seed) }),
  },
  openModelFolder: { path: aPath(), options: maybe(object({ seed: maybe(seed) })) },
  exportModel: {
    path: aPath(),
    out: aPath('out'),
    options: maybeOptions({ depth: maybe(only('full')), tokenizer: maybe(aPath()), seed: maybe(seed), ...exporting }),
  },
  createTrainer: {
    options: record({ steps: 1 }),
    deps: options({
      device: aDevice,
      model: aModel,
      method: maybe(
        also(only(createMethod('scratch', { layers: 2, totalSteps: 1, seed: 1 })), 'string', 'long', 'empty'),
      ),
      corpus: maybe(
        only({ key: 'k', shape: () => ({}), batch: () => ({}), heldOutCount: () => 0, heldOut: () => ({}) }),
      ),
      objective: maybe(anObjective),
      init: maybe(aPath()),
      branchFrom: maybe(aPath()),
      signal: sig,
      checkpointDir: maybe(aPath()),
      resume: maybe(also(only('auto'), 'boolean')),
    }),
  },
  train: {
    options: record({ steps: 1 }),
    deps: options({
      device: aDevice,
      model: aModel,
      method: also(only(createMethod('scratch', { layers: 2, totalSteps: 1, seed: 1 })), 'string', 'long', 'empty'),
      corpus: only({ key: 'k', shape: () => ({}), batch: () => ({}), heldOutCount: () => 0, heldOut: () => ({}) }),
      init: maybe(aPath()),
      branchFrom: maybe(aPath()),
      signal: sig,
      checkpointDir: maybe(aPath()),
      resume: maybe(also(only('auto'), 'boolean')),
      store: maybe(aStore),
      group: maybe(only(alone)),
      objective: maybe(anObjective),
      stop: maybe(func(() => false)),
      lookAhead: maybe(boolean(true)),
    }),
  },
  trainingCorpus: {
    corpus: object({
      train: only({ tokenCount: 8, vocabSize: 4, read: () => new Int32Array(1) }),
      heldOut: only({ tokenCount: 8, vocabSize: 4, read: () => new Int32Array(1) }),
      key: text('k'),
      tokenizer: aTokenizer,
    }),
    options: maybeOptions({ evaluationBatches: maybe(whole(1)) }),
  },
  anneal: {
    options: record({ steps: 10 }),
    decays: options({ at: list([0.5]), decay: maybe(number(0.2)), shape: maybe(only('linear')) }),
    deps: object({ trunk: aPath(), out: aPath('out') }),
  },
  learningRate: {
    step: number(1),
    options: object({
      schedule: maybe(only('cosine')),
      totalSteps: number(10),
      warmupSteps: number(2),
      peak: number(1e-3),
      decay: maybe(only({ steps: 2, shape: 'linear' })),
    }),
  },
  listCheckpoints: { directory: aPath() },
  newestCheckpoint: { directory: aPath() },
  readCheckpointState: { folder: aPath() },
};

const interopTable: Record<string, Arguments> = {
  saveTokenizer: { folder: name(join(folder, 'saved')), tokenizer: aTokenizer, options: maybeOptions(maximum) },
  tokenizerFiles: { tokenizer: aTokenizer, options: maybeOptions(maximum) },
  encodeSafetensors: {
    tensors: list([{ name: 'a', dtype: 'F32', shape: [1], data: new Float32Array(1) }]),
    metadata: maybe(record({})),
  },
  openHuggingFaceFolder: { folder: aPath() },
  readEventFile: { path: aPath() },
  'SafetensorsReader.open': { path: aPath() },
  'SafetensorsReader.fromBytes': { bytes: only(tensorsFile), source: maybe(word) },
  'SafetensorsReader#info': { this: only(reader), name: text('a'), shape: maybe(list([1])) },
  'SafetensorsReader#readFloat32': { this: only(reader), name: text('a'), shape: maybe(list([1])) },
  'SafetensorsReader#readInt32': { this: only(reader), name: text('i'), shape: maybe(list([1])) },
};

const compareTable: Record<string, Arguments> = {
  compare: {
    options: object({
      device: aDevice,
      model: aModel,
      corpus: only({ key: 'k', shape: () => ({}), batch: () => ({}), heldOutCount: () => 0, heldOut: () => ({}) }),
      methods: list(['scratch']),
      seeds: maybe(list([1])),
      folder: aPath(),
      resume: maybe(boolean(true)),
      small: maybe(record({ layers: 1 })),
      init: maybe(aPath()),
      objective: maybe(anObjective),
      signal: sig,
    }),
  },
};

const distTable: Record<string, Arguments> = {
  openGroup: { device: aDevice, env: maybe(record({})) },
};

const board: Record<string, Arguments> = {
  histogram: { tag, counts: numbers },
  scalar: { tag, value: anyNumber(1) },
  text: { tag, markdown: word },
  'EventFileWriter.open': {
    folder: name(join(folder, 'events')),
    options: maybeOptions({ purgeFrom: maybe(whole(1)), now: maybe(func(() => 1)) }),
  },
  'EventFileWriter#add': { this: only(writer), step: whole(1), values: list([]) },
};

const idList = also(list([1, 2]), 'nested');
const withLength = maybeOptions({ maxLength: maybe(number(8)) });
const decoding = maybeOptions({ skipSpecialTokens: maybe(boolean(true)) });
const traced = {
  graph: made(() => new Graph()),
  weights,
  batch: object({
    batch: number(1),
    seq: number(4),
    targets: maybe(number(1)),
    padding: maybe(boolean(true)),
    types: maybe(boolean(true)),
  }),
};
const tracing = object({ layerMap: list([0, 1]), training: boolean(true) });
const methodsOfObjects: Record<string, Arguments> = {
  'Tokenizer:encode': { text: word },
  'Tokenizer:encodeInto': { text: word, out: made(() => new IdBuffer(8)) },
  'Tokenizer:encodeWithOffsets': { text: word },
  'Tokenizer:encodePair': { first: word, second: maybe(word), options: withLength },
  'Tokenizer:frame': { first: idList, second: maybe(idList), options: withLength },
  'Tokenizer:decode': { ids: idList, options: decoding },
  'Tokenizer:streamDecoder': { options: decoding },
  'Tokenizer:tokenOf': { id: number(1) },
  'Tokenizer:idOf': { token: word },
  'DepthSampler:probabilities': { trainedLayers, layers },
  'DepthSampler:expectedDepth': { trainedLayers, layers },
  'DepthSampler:sample': { x: number(0.5), trainedLayers, layers },
  'LanguageModel:parameters': { trainedLayers: whole(2) },
  'LanguageModel:trace': { ...traced, options: tracing },
  'LanguageModel:predict': { ...traced, options: object({ layerMap: list([0, 1]), decoding: maybe(record({})) }) },
  'LanguageModel:logits': { rows: x, weights: traced.weights, training: boolean(false) },
  'LanguageModel:flopsPerToken': { depth: notNegative(2), seq: notNegative(4) },
  'ModelBody:parameters': { trainedLayers: whole(2) },
  'ModelBody:trace': { ...traced, options: tracing },
};

const under = (space: string, entries: Record<string, Arguments>) =>
  Object.entries(entries).map(([key, args]) => [`${space}${key}`, args] as const);

export const table: Readonly<Record<string, Arguments>> = Object.fromEntries([
  ...under('compare.', compareTable),
  ...under('data.', dataTable),
  ...under('dist.', distTable),
  ...under('engine.', engine),
  ...under('engine.', tensorMethods),
  ...under('eval.', evaluationTable),
  ...under('growth.', growthTable),
  ...under('interop.', interopTable),
  ...under('interop.', board),
  ...under('methods.', methodsTable),
  ...under('models.', models),
  ...under('models.', ofModels),
  ...under('nn.', nn),
  ...under('report.', report),
  ...under('train.', trainTable),
  // An error that is made of anything is better than a second error.
  ['ApolloError', {}],
  ...Object.entries(methodsOfObjects),
]);

/** Classes that the package exports as types: users have their instances from functions. */
export const classes: Readonly<Record<string, object>> = { 'engine.Device': Device, 'engine.Program': Program };

/** Objects that functions of the package make: their methods are called, too. */
export const objects: Readonly<Record<string, object>> = {
  Tokenizer: tokenizer,
  DepthSampler: makeSampler('edge'),
  LanguageModel: model,
  ModelBody: model.body,
};

/** Exports that are no functions. */
export const constants: readonly string[] = [
  'dist.alone',
  'data.formatNames',
  'data.noLabel',
  'engine.bytesPerElement',
  'engine.ignoredLabel',
  'engine.optimizerNames',
  'eval.spans',
  'eval.taskNames',
  'growth.cost',
  'growth.depthInits',
  'growth.depthStream',
  'growth.edge',
  'growth.expansions',
  'growth.full',
  'growth.lvps',
  'growth.none',
  'growth.samplers',
  'growth.uniform',
  'growth.widthInits',
  'growth.widthStream',
  'methods.methodNames',
];

/** Methods without arguments, and those that only this package calls. */
export const internal: readonly string[] = [
  ...['info', 'releaseArena', 'close', 'checkOpen'].map((key) => `engine.Device#${key}`),
  ...['rng', 'nextStream'].map((key) => `engine.Graph#${key}`),
  ...'names zeroGradients dispose checkOpen'.split(' ').map((key) => `engine.ParameterStore#${key}`),
  'engine.Program#dispose',
  ...['names', 'dispose', 'checkOpen'].map((key) => `engine.StateStore#${key}`),
  'engine.AdamW#dispose',
  'engine.Muon#dispose',
  'engine.Muon#step',
  'engine.Muon#prepare',
  'engine.Tensor#toString',
  'eval.Decoder#dispose',
  'engine.RunGroup#stop',
  'engine.RunGroup#fail',
  'engine.ParameterStore#takeLoss',
  'engine.RunGroup#dispose',
  'eval.NetworkPrograms#dispose',
  'growth.Mt19937#next',
  'growth.Mt19937#nextWord',
  'interop.EventFileWriter',
  'interop.SafetensorsReader',
  'interop.SafetensorsReader#close',
  'interop.EventFileWriter#close',
];
