/**
 * GPT-2 (Radford et al. 2019), arithmetic as in Hugging Face's GPT2LMHeadModel: pre-norm layers, causal attention,
 * final norm, a head without bias; tanh GELU and a head tied to the word embeddings unless the configuration says otherwise.
 */
import type { Graph } from '../engine/graph.js';
import { dropout } from '../engine/ops/index.js';
import { check } from '../errors.js';
import { flatten, tiedLogits, tiedLoss } from '../nn/heads.js';
import { tokenEmbeddings, type Weights } from '../nn/layers.js';
import { preNormStack, type StackCache } from '../nn/transformer.js';
import { activationOf, type ModelConfig, validateModelConfig } from './config.js';
import { headFlops, layerFlops, trainingFlops } from './flops.js';
import {
  checkTrace,
  type DecodingOptions,
  type LanguageModel,
  type ModelBody,
  type ParameterSpec,
  type PredictionShape,
  wantedRows,
} from './model.js';
import { layerParameters, matrix, normPair, outputMatrix, outputParameters } from './parameters.js';

function gptParameters(config: ModelConfig, units: number): ParameterSpec[] {
  const { hidden, vocab, maxPositions, initStd } = config;
  return [
    matrix('embeddings.word', [vocab, hidden], initStd),
    matrix('embeddings.position', [maxPositions, hidden], initStd),
    ...Array.from({ length: units }, (_, index) => layerParameters(config, index)).flat(),
    ...normPair('final.norm', hidden),
  ];
}

/** The cache of a decoding program and its input that says where the tokens stand. */
function stackCache(
  graph: Graph,
  { maxPositions }: ModelConfig,
  { batch, seq, padding }: PredictionShape,
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

/** Embeddings, layers and the final norm: [B, T] tokens -> [B, T, C]. */
function gptBody(config: ModelConfig): ModelBody {
  const { hidden, vocab, heads, ffn, epsilon, maxPositions } = config;
  return {
    parameters: (units) => gptParameters(config, units),
    trace(graph, weights, batch, options) {
      const { layerMap, training, decoding } = options;
      checkTrace(config, batch, layerMap);
      const tokens = graph.input('tokens', [batch.batch, batch.seq], 'i32');
      const mask = batch.padding ? graph.input('mask', [batch.batch, batch.seq], 'i32') : undefined;
      const branchScales = options.branchScales ? graph.input('branchScales', [layerMap.length]) : undefined;
      const blockGates = options.blockGates ? graph.input('blockGates', [layerMap.length]) : undefined;
      check(!(decoding && training), 'a model is trained on whole sequences: decoding is for evaluation.');
      const cache = decoding && stackCache(graph, config, batch, decoding);

      const p = training ? config.dropout : 0;
      const positions = cache?.first ? undefined : cache?.positions;
      const summed = tokenEmbeddings(tokens, weights, { vocab, hidden, maxPositions }, undefined, positions);
      return preNormStack(dropout(summed, training ? (config.embeddingDropout ?? p) : 0), weights, 'final.norm', {
        layerMap,
        heads,
        ffn,
        epsilon,
        dropout: p,
        attentionDropout: training ? config.attentionDropout : 0,
        causal: true,
        activation: activationOf(config),
        training,
        mask,
        branchScales,
        blockGates,
        cache,
      });
    },
  };
}

/**
 * A GPT-2 of this configuration.
 * ```ts
 * const model = gpt(preset('gpt-small'));
 * const { loss } = model.trace(graph, weights, { batch: 8, seq: 128, padding: false },
 *   { layerMap: interpolate(3, 12), training: true });
 * ```
 * @throws ApolloError BAD_CONFIG for a configuration no model can have.
 */
export function gpt(config: ModelConfig): LanguageModel {
  validateModelConfig(config);
  const { maxPositions } = config;
  const body = gptBody(config);
  const table = (weights: Weights) => outputMatrix(config, weights);
  return {
    config,
    body,
    parameters: (units) => [...body.parameters(units), ...outputParameters(config)],
    trace(graph, weights, batch, options) {
      const { hidden: last, states } = body.trace(graph, weights, batch, options);
      const labels = graph.input('labels', [batch.batch * batch.seq], 'i32');

      const rows = flatten(last); // [B*T, C]
      return {
        ...tiedLoss(rows, table(weights), labels),
        ...(options.logits ? { logits: tiedLogits(rows, table(weights)) } : {}),
        ...(options.hiddenStates ? { hiddenStates: states } : {}),
      };
    },
    predict(graph, weights, batch, options) {
      const { hidden: last } = body.trace(graph, weights, batch, { ...options, training: false });
      return tiedLogits(wantedRows(graph, last, batch), table(weights));
    },
    logits: (rows, weights) => tiedLogits(rows, table(weights)),
    flops: { layer: layerFlops(config, maxPositions), head: headFlops(config) },
    flopsPerToken: (depth, seq) => trainingFlops(config, depth, seq),
  };
}
