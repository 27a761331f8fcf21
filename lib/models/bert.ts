/**
 * BERT (Devlin et al. 2019) with its masked-language-model head, arithmetic as in Hugging Face's BertForMaskedLM:
 * post-norm layers, exact GELU and a decoder tied to the word embeddings unless the configuration says otherwise, no pooler. The head runs on the masked positions
 * only. Batches with padding need the mask: nothing then depends on padded positions, so that the padding token's row
 * gets no gradient from lookups (Hugging Face blocks it), only from the tied head.
 */
import type { Tensor } from '../engine/graph.js';
import { dropout } from '../engine/ops/index.js';
import { check } from '../errors.js';
import { atPositions, flatten, mlmTransform, tiedLogits, tiedLoss } from '../nn/heads.js';
import { norm, tokenEmbeddings, type Weights } from '../nn/layers.js';
import { postNormStack } from '../nn/transformer.js';
import { activationOf, type ModelConfig, validateModelConfig } from './config.js';
import { headFlops, layerFlops, trainingFlops } from './flops.js';
import { checkTrace, type LanguageModel, type ModelBody, type ParameterSpec, wantedRows } from './model.js';
import { bias, layerParameters, linearPair, matrix, normPair, outputMatrix, outputParameters } from './parameters.js';

function bodyParameters(config: ModelConfig, units: number): ParameterSpec[] {
  const { hidden, vocab, maxPositions, typeVocab = 2, padTokenId, initStd } = config;
  return [
    matrix('embeddings.word', [vocab, hidden], initStd, padTokenId === undefined ? {} : { zeroRow: padTokenId }),
    matrix('embeddings.position', [maxPositions, hidden], initStd),
    matrix('embeddings.type', [typeVocab, hidden], initStd),
    ...normPair('embeddings.norm', hidden),
    ...Array.from({ length: units }, (_, index) => layerParameters(config, index)).flat(),
  ];
}

function headParameters(config: ModelConfig): ParameterSpec[] {
  const { hidden, vocab, initStd } = config;
  return [
    ...linearPair('head.transform', hidden, hidden, initStd),
    ...normPair('head.norm', hidden),
    ...outputParameters(config),
    bias('head.bias', vocab),
  ];
}

/** Embeddings and layers: [B, T] tokens -> [B, T, C]. */
function bertBody(config: ModelConfig): ModelBody {
  const { hidden, vocab, heads, ffn, epsilon, maxPositions, typeVocab } = config;
  return {
    parameters: (units) => bodyParameters(config, units),
    trace(graph, weights, batch, options) {
      const { layerMap, training } = options;
      checkTrace(config, batch, layerMap);
      check(!options.decoding, 'BERT reads a whole text at once and has no decoding; use a GPT.');
      const shape = [batch.batch, batch.seq];
      const tokens = graph.input('tokens', shape, 'i32');
      const types = batch.types ? graph.input('types', shape, 'i32') : undefined;
      const mask = batch.padding ? graph.input('mask', shape, 'i32') : undefined;
      const branchScales = options.branchScales ? graph.input('branchScales', [layerMap.length]) : undefined;
      const blockGates = options.blockGates ? graph.input('blockGates', [layerMap.length]) : undefined;

      const p = training ? config.dropout : 0;
      const summed = tokenEmbeddings(tokens, weights, { vocab, hidden, maxPositions, typeVocab }, types);
      const normed = norm(summed, weights, 'embeddings.norm', epsilon);
      return postNormStack(dropout(normed, p), weights, {
        layerMap,
        heads,
        ffn,
        epsilon,
        dropout: p,
        attentionDropout: training ? config.attentionDropout : 0,
        causal: false,
        activation: activationOf(config),
        training,
        mask,
        branchScales,
        blockGates,
      });
    },
  };
}

/**
 * A BERT of this configuration.
 * ```ts
 * const model = bert(preset('bert-small'));
 * const { loss } = model.trace(graph, weights, { batch: 8, seq: 128, targets: 160, padding: false },
 *   { layerMap: interpolate(3, 12), training: true });
 * ```
 * @throws ApolloError BAD_CONFIG for a configuration no model can have.
 */
export function bert(config: ModelConfig): LanguageModel {
  validateModelConfig(config);
  const { vocab, epsilon, maxPositions } = config;
  const body = bertBody(config);
  const table = (weights: Weights) => outputMatrix(config, weights);
  const outputBias = (weights: Weights) => weights('head.bias', [vocab], 'vector');
  const transform = (rows: Tensor, weights: Weights, training: boolean) =>
    mlmTransform(rows, weights, { epsilon, activation: activationOf(config), training });
  const logits = (rows: Tensor, weights: Weights, training: boolean) =>
    tiedLogits(transform(rows, weights, training), table(weights), outputBias(weights));
  return {
    config,
    body,
    parameters: (units) => [...body.parameters(units), ...headParameters(config)],
    trace(graph, weights, batch, options) {
      const { training } = options;
      const targets = batch.targets ?? 0;
      checkTrace(config, batch, options.layerMap);
      check(
        Number.isInteger(targets) && targets > 0,
        `BERT needs targets, the padded number of masked positions in a batch, as a positive whole number; got ${String(batch.targets)}.`,
      );
      const { hidden: last, states } = body.trace(graph, weights, batch, options);
      const positions = graph.input('positions', [targets], 'i32');
      const labels = graph.input('labels', [targets], 'i32');

      const rows = transform(atPositions(last, positions), weights, training);
      return {
        ...tiedLoss(rows, table(weights), labels, outputBias(weights)),
        ...(options.logits ? { logits: logits(flatten(last), weights, training) } : {}),
        ...(options.hiddenStates ? { hiddenStates: states } : {}),
      };
    },
    predict(graph, weights, batch, options) {
      const { hidden: last } = body.trace(graph, weights, batch, { ...options, training: false });
      return logits(wantedRows(graph, last, batch), weights, false);
    },
    logits,
    flops: { layer: layerFlops(config, maxPositions), head: headFlops(config) },
    flopsPerToken: (depth, seq) => trainingFlops(config, depth, seq),
  };
}
