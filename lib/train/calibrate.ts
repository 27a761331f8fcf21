/**
 * After a growth by copies the residual stream of a pre-norm network is larger than before, since more layers add to it.
 * Calibration multiplies what all layers add by one factor, so that the stream keeps its size.
 */
import { Graph } from '../engine/graph.js';
import { mean, square } from '../engine/ops/index.js';
import type { ParameterStore } from '../engine/parameters.js';
import type { InputData } from '../engine/program.js';
import { ApolloError } from '../errors.js';
import { identityMap } from '../methods/method.js';
import type { BatchShape } from '../models/index.js';
import { scaledValues } from '../pauses.js';
import type { StageNetwork } from './stage.js';

/** The batch on which the stream is measured, as a model takes it. */
export interface CalibrationBatch {
  readonly shape: BatchShape;
  readonly inputs: Readonly<Record<string, InputData>>;
}

export interface Calibrated {
  /** The factor on all layers' outputs. */
  readonly factor: number;
  /** Forward passes over the batch that it took, after the growth. */
  readonly passes: number;
  /** Executed FLOPs of these. */
  readonly flops: number;
}

/** Halvings of the interval of the factor: it is found to a thousandth of its length. */
const halvings = 10;

export interface StreamMeter {
  /** Executed FLOPs of a measurement. */
  readonly flops: number;
  measure(factor: number): Promise<number>;
  dispose(): void;
}

/**
 * Measures the stream before the final norm: its root mean square with all residual branches times `factor`.
 * @throws ApolloError BAD_CONFIG for a post-norm model, whose stream is normalised in every layer.
 */
export async function streamMeter(
  network: StageNetwork,
  store: ParameterStore,
  { shape, inputs }: CalibrationBatch,
): Promise<StreamMeter> {
  const layerMap = identityMap(network.stage.trainedLayers);
  const graph = new Graph();
  const weights = network.weights(graph, store.precision);
  const { stream } = network.model.body.trace(graph, weights, shape, { layerMap, training: false, branchScales: true });
  if (!stream) {
    throw new ApolloError(
      'BAD_CONFIG',
      'calibrate keeps the size of the residual stream, which a post-norm model (BERT) normalises in every layer. Use it with a pre-norm model (GPT, Llama).',
    );
  }
  graph.output('meanSquare', mean(square(stream), undefined, false, 'f32'));
  const program = await store.device.compile(graph, { store });
  const own = Object.fromEntries(program.inputs.flatMap(({ name }) => (name in inputs ? [[name, inputs[name]!]] : [])));
  return {
    flops: program.flops,
    async measure(factor) {
      const branchScales = new Float32Array(layerMap.length).fill(factor);
      const result = await program.run({ ...own, branchScales });
      return Math.sqrt((result.outputs['meanSquare'] as Float32Array)[0] as number);
    },
    dispose: () => program.dispose(),
  };
}

/**
 * Multiplies the output projections of all layers by the factor in [from / to, 1] with which the stream is as large as
 * `target`, found by bisection; the end that is nearer where none is.
 */
export async function calibrate(
  network: StageNetwork,
  store: ParameterStore,
  batch: CalibrationBatch,
  {
    target,
    from,
    agree,
  }: { readonly target: number; readonly from: number; readonly agree: (factor: number) => Promise<number> },
): Promise<Calibrated> {
  const meter = await streamMeter(network, store, batch);
  let passes = 0;
  const tooLarge = async (factor: number) => {
    passes++;
    return (await meter.measure(factor)) > target;
  };
  let [low, high] = [from / network.stage.trainedLayers, 1];
  try {
    if (!(await tooLarge(high))) low = high;
    else if (await tooLarge(low)) high = low;
    for (let i = 0; i < halvings && low < high; i++) {
      const middle = (low + high) / 2;
      if (await tooLarge(middle)) high = middle;
      else low = middle;
    }
  } finally {
    meter.dispose();
  }
  const factor = await agree((low + high) / 2);
  for (const { name, use } of network.specs) {
    if (factor === 1 || use !== 'branchOutput') continue;
    const value = await store.read(name);
    await store.write(name, await scaledValues(value, factor));
  }
  return { factor, passes, flops: passes * meter.flops };
}
