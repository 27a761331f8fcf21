/**
 * Costs of each depth of a run, measured in seconds for a model of any size: memory from the programs as they would run,
 * which takes no run, and time from one layer and the head on a piece of a micro-batch, extrapolated by FLOPs.
 */
import { accumulateGradients, type Device, Graph, graphFlops, ParameterStore } from '../engine/index.js';
import { ApolloError } from '../errors.js';
import { declareParameters, type LanguageModel, modelWeights } from '../models/index.js';
import { batchShape, parameterBytes } from '../train/index.js';
import { type DepthCost, madeUpInputs, type ProbeOptions } from './plan.js';

/** Target time of one run on the piece, and the number of timed runs per depth after one to warm up. */
const runMs = 600;
const timedRuns = 3;
/** All measuring together; what has not been reached by then is left out. */
const budgetMs = 7_000;

/** A piece of a micro-batch, and what was measured on it. */
export interface Piece {
  readonly batch: number;
  readonly seq: number;
  /** Timed runs of each of one and of two layers. */
  readonly runs: number;
}

export interface Estimate {
  readonly depths: readonly DepthCost[];
  readonly piece: Piece;
}

/** One training program; its layers share the weights of the first, which changes neither its memory nor its time. */
function trainingGraph(
  model: LanguageModel,
  precision: 'f32' | 'bf16',
  shape: { batch: number; seq: number },
  depth: number,
) {
  const { batch, seq } = shape;
  const full = batchShape({ batch, seq, objective: model.objective });
  const graph = new Graph();
  const layerMap = new Array<number>(depth).fill(0);
  const { loss } = model.trace(graph, modelWeights(graph, model, precision), full, { layerMap, training: true });
  accumulateGradients(loss);
  graph.output('loss', loss);
  return graph;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Milliseconds and FLOPs of a run of one layer, and of one of two, with all that is around them. */
export interface Point {
  readonly ms: readonly [one: number, two: number];
  readonly flops: readonly [one: number, two: number];
}

/** Cost of one layer and of everything outside the layers, from a run of one layer and a run of two. */
const parts = ([one, two]: readonly [number, number]) => ({ layer: two - one, rest: 2 * one - two });

/**
 * The time of a part at `flops` from those on a piece. A part of the time on a piece does not grow with the tokens (weights
 * are read and gradients added once per run), so that time per FLOP is the slope between the piece and a smaller one; noise
 * may bend that, so it counts between half of the time per FLOP of the piece and all of it.
 */
function atFlops(flops: number, piece: { ms: number; flops: number }, smaller?: { ms: number; flops: number }): number {
  const proportional = piece.ms / piece.flops;
  const slope = smaller ? (piece.ms - smaller.ms) / (piece.flops - smaller.flops) : proportional;
  return piece.ms + Math.min(proportional, Math.max(0.5 * proportional, slope)) * (flops - piece.flops);
}

/**
 * Milliseconds of each depth of the whole micro-batch, whose FLOPs at one and two layers are `flops`. Layer and head are
 * extrapolated apart; where noise has left one of them without a time, together.
 */
export function extrapolated(
  piece: Point,
  smaller: Point | undefined,
  flops: Point['flops'],
): (depth: number) => number {
  const whole = parts(flops);
  const [time, counted] = [parts(piece.ms), parts(piece.flops)];
  const [less, fewer] = smaller ? [parts(smaller.ms), parts(smaller.flops)] : [];
  if (time.layer > 0 && time.rest > 0) {
    const of = (part: 'layer' | 'rest') =>
      atFlops(
        whole[part],
        { ms: time[part], flops: counted[part] },
        less && fewer && { ms: less[part], flops: fewer[part] },
      );
    const [layer, rest] = [of('layer'), of('rest')];
    return (depth) => depth * layer + rest;
  }
  const sum = ({ ms, flops }: Point) => ({ ms: ms[0] + ms[1], flops: flops[0] + flops[1] });
  const both = (depth: number) => 2 * (depth * whole.layer + whole.rest);
  return (depth) => atFlops(both(depth), sum(piece), smaller && sum(smaller)) / 2;
}

/** The part of a micro-batch with at most `tokens` tokens: whole rows, or the start of one. */
export function pieceOf(
  tokens: number,
  { batch, seq }: { batch: number; seq: number },
): { batch: number; seq: number } {
  if (tokens >= seq) return { batch: Math.min(batch, Math.floor(tokens / seq)), seq };
  return { batch: 1, seq: Math.max(Math.min(seq, 16), 2 ** Math.floor(Math.log2(Math.max(tokens, 1)))) };
}

/**
 * Costs of the depths without running one.
 * @throws ApolloError OUT_OF_MEMORY where not even a piece fits; BUSY where the machine has not run one in time; ABORT_ERR.
 */
export async function estimateDepths(options: ProbeOptions): Promise<Estimate> {
  const { device, model, precision, batch, seq, signal, onProgress, now = performance.now.bind(performance) } = options;
  const started = now();
  const left = () => budgetMs - (now() - started);
  const store = new ParameterStore(device, { precision });
  const whole = { batch, seq };
  try {
    declareParameters(store, model, 1);
    const report = (label: string, done: number) => onProgress?.(label, done);
    const piece = await timed({ device, model, precision, store, whole, left, signal, report }).catch(
      (error: unknown) => {
        if (signal?.aborted || !(error instanceof ApolloError && error.code === 'ABORT_ERR')) throw error;
        throw new ApolloError(
          'BUSY',
          `A training step on ${pieceOf(16, whole).seq} tokens did not finish within ${budgetMs / 1000} s: the machine is busy. Try ` +
            'again, or use --measure none (no time and memory) or --measure full (as long as it takes).',
          { cause: error },
        );
      },
    );
    const flopsAt = (depth: number) => graphFlops(trainingGraph(model, precision, whole, depth));
    const time = extrapolated(piece.piece, piece.smaller, [flopsAt(1), flopsAt(2)]);
    const costs = await plannedDepths(options, store, time);
    return { depths: costs, piece: { ...piece.shape, runs: piece.runs } };
  } finally {
    store.dispose();
  }
}

/** Costs of the depths of a network whose time is known. */
export async function depthsWithTime(options: ProbeOptions, time: (depth: number) => number): Promise<DepthCost[]> {
  const store = new ParameterStore(options.device, { precision: options.precision });
  try {
    declareParameters(store, options.model, 1);
    return await plannedDepths(options, store, time);
  } finally {
    store.dispose();
  }
}

/** Costs of the depths: memory from their programs, which are not run. `store`: with the parameters of one layer. */
async function plannedDepths(
  options: ProbeOptions,
  store: ParameterStore,
  time: (depth: number) => number,
): Promise<DepthCost[]> {
  const { device, model, precision, batch, seq, depths, onProgress } = options;
  const costs: DepthCost[] = [];
  for (const [index, depth] of depths.entries()) {
    onProgress?.(`memory at depth ${depth}`, (1 + index / depths.length) / 2);
    costs.push({
      depth,
      ms: time(depth),
      parameterBytes: parameterBytes(model, { ...options, layers: depth }),
      ...(await memoryOf(device, store, trainingGraph(model, precision, { batch, seq }, depth))),
    });
  }
  return costs;
}

/** Activations and temporaries of a program, as planned; or why it cannot run on this device. */
async function memoryOf(device: Device, store: ParameterStore, graph: Graph) {
  try {
    using program = await device.compile(graph, { store });
    return { arenaBytes: program.memory.arenaBytes };
  } catch (error) {
    if (error instanceof ApolloError && error.code === 'OUT_OF_MEMORY') return { misfit: error.message };
    throw error;
  }
}

interface Timing extends Pick<ProbeOptions, 'device' | 'model' | 'precision'> {
  readonly signal: AbortSignal | undefined;
  readonly store: ParameterStore;
  readonly whole: { readonly batch: number; readonly seq: number };
  readonly left: () => number;
  readonly report: (label: string, done: number) => void;
}

/** Times one and two layers on a piece that grows until a run takes about as long as it may, and on a quarter of it. */
async function timed({ device, model, precision, store, whole, left, signal, report }: Timing) {
  const limit = () =>
    AbortSignal.any([AbortSignal.timeout(Math.max(1, Math.round(left()))), ...(signal ? [signal] : [])]);
  const compile = async (shape: { batch: number; seq: number }, depth: number) => {
    const program = await device.compile(trainingGraph(model, precision, shape, depth), { store });
    const inputs = madeUpInputs(program, model.config.vocabSize);
    return {
      flops: program.flops,
      times: [] as number[],
      run: async () => (await program.run(inputs, { signal: limit() })).elapsedMs,
      dispose: () => program.dispose(),
    };
  };
  const tokensOf = ({ batch, seq }: { batch: number; seq: number }) => batch * seq;
  let shape = pieceOf(16, whole);
  for (;;) {
    report(`${shape.batch} x ${shape.seq} tokens`, 0.1);
    const two = await compile(shape, 2);
    await two.run();
    const ms = await two.run();
    two.dispose();
    const grown = pieceOf(tokensOf(shape) * Math.min(16, Math.max(4, Math.floor(runMs / ms))), whole);
    if (ms > runMs / 2 || tokensOf(grown) === tokensOf(shape) || left() < budgetMs / 2) break;
    shape = grown;
  }
  const quarter = pieceOf(Math.floor(tokensOf(shape) / 4), whole);
  const isWhole = tokensOf(shape) === tokensOf(whole) || tokensOf(quarter) >= tokensOf(shape);
  const shapes = isWhole ? [shape] : [shape, quarter];
  const programs: Awaited<ReturnType<typeof compile>>[] = [];
  try {
    for (const each of shapes) for (const depth of [1, 2]) programs.push(await compile(each, depth));
    for (let round = 0; round <= timedRuns; round++) {
      const before = left();
      // In turn: what slows the machine for a while slows all of them.
      for (const [index, { run, times }] of programs.entries()) {
        const share = (round + index / programs.length) / (timedRuns + 1);
        report(`a layer and the head on ${shape.batch} x ${shape.seq} tokens`, 0.2 + 0.3 * share);
        times.push(await run());
      }
      if (round > 0 && left() < 1.2 * (before - left())) break;
    }
  } finally {
    for (const program of programs) program.dispose();
  }
  const points = shapes.map((_, index): Point => {
    const [one, two] = programs.slice(2 * index, 2 * index + 2) as [
      (typeof programs)[number],
      (typeof programs)[number],
    ];
    const settled = (times: readonly number[]) => median(times.slice(1));
    return { ms: [settled(one.times), settled(two.times)], flops: [one.flops, two.flops] };
  });
  return { shape, runs: programs[0]!.times.length - 1, piece: points[0]!, smaller: points[1] };
}
