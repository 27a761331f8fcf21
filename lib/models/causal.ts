/** Shared code of causal language models around their layers: next-token loss, logits, and decoding with a cache. */
import type { Graph } from '../engine/graph.js';
import { check } from '../errors.js';
import * as is from '../is.js';
import { flatten, tiedLogits, tiedLoss } from '../nn/heads.js';
import type { Weights } from '../nn/layers.js';
import type { StackCache } from '../nn/transformer.js';
import type { ModelConfig } from './config.js';
import {
  type BodyOptions,
  type DecodingOptions,
  type ModelBody,
  type ModelGraphs,
  type ParameterSpec,
  type PredictionShape,
  wantedRows,
} from './model.js';
import { outputMatrix } from './parameters.js';

const takesCausalGraphs = is.takes('causalGraphs', {
  config: is.modelConfig,
  body: is.modelBody,
  headParameters: is.list(is.record),
});

/**
 * The graphs of a causal model whose head is one matrix without bias: the word table, or `headParameters`.
 * @example
 * const graphs = causalGraphs(config, model.body, outputParameters(config));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function causalGraphs(
  config: ModelConfig,
  body: ModelBody,
  headParameters: readonly ParameterSpec[],
): ModelGraphs {
  takesCausalGraphs(config, body, headParameters);

  const output = (weights: Weights) => outputMatrix(config, weights);
  return {
    body,
    parameters: (trainedLayers) => [...body.parameters(trainedLayers), ...headParameters],
    trace(graph, weights, batch, options) {
      const { hidden: last, states } = body.trace(graph, weights, batch, options);
      const labels = graph.input('labels', [batch.batch * batch.seq], 'i32');

      const rows = flatten(last); // [B*T, C]
      return {
        ...tiedLoss(rows, output(weights), labels),
        ...(options.logits ? { logits: tiedLogits(rows, output(weights)) } : {}),
        ...(options.hiddenStates ? { hiddenStates: states } : {}),
      };
    },
    predict(graph, weights, batch, options) {
      const { hidden: last } = body.trace(graph, weights, batch, { ...options, training: false });
      return tiedLogits(wantedRows(graph, last, batch), output(weights));
    },
    logits: (rows, weights) => tiedLogits(rows, output(weights)),
  };
}

const takesDecodingCache = is.takes('decodingCache', {
  graph: is.graph,
  config: is.modelConfig,
  batch: is.batchSize,
  options: is.object('{ training }', { training: is.boolean, decoding: is.optional(is.record) }),
});

/**
 * The cache of a decoding program, with its input that says where the tokens are; undefined for one that does not decode.
 * @example
 * const cache = decodingCache(graph, config, { batch: 1, seq: 8, padding: false }, { layerMap: [0, 1], training: false });
 * @throws ApolloError BAD_ARGUMENT for decoding options that do not fit batch and model.
 */
export function decodingCache(
  graph: Graph,
  config: ModelConfig,
  batch: Omit<PredictionShape, 'targets'>,
  options: BodyOptions,
): StackCache | undefined {
  takesDecodingCache(graph, config, batch, options);

  const { decoding, training } = options;
  check(!(decoding && training), 'a model is trained on whole sequences: decoding is for evaluation.');
  return decoding && stackCache(graph, config, batch, decoding);
}

function stackCache(
  graph: Graph,
  { maxPositions }: ModelConfig,
  { batch, seq, padding }: Omit<PredictionShape, 'targets'>,
  { batch: sequences, length, first }: DecodingOptions,
): StackCache {
  check(
    Number.isInteger(length) && length >= seq && length <= maxPositions,
    `decoding.length must be a whole number from ${seq} (the tokens of a run) to ${maxPositions} (the model's positions); got ${length}.`,
  );
  check(
    Number.isInteger(sequences) && sequences > 0 && (sequences === batch || (batch === 1 && first)),
    `decoding.batch must be the batch's ${batch} sequences, or any number for the first tokens of one; got ${sequences}.`,
  );
  check(!padding, 'decoding takes no mask: put padding after the tokens, where no row asks for it.');
  return { batch: sequences, length, first, positions: graph.input('positions', [batch, seq], 'i32') };
}

const takesCausalHeadFlops = is.takes('causalHeadFlops', { config: is.modelConfig });

/**
 * Forward FLOPs of the head per token: 2 h V.
 * @example
 * causalHeadFlops(config) // 2 C V
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function causalHeadFlops(config: ModelConfig): number {
  takesCausalHeadFlops(config);

  return 2 * config.hidden * config.vocabSize;
}
