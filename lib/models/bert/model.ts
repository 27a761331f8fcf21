/**
 * BERT (Devlin et al. 2019) with its masked-language-model head, arithmetic as in Hugging Face's BertForMaskedLM:
 * post-norm layers, exact GELU and a decoder tied to the word embeddings unless the configuration says otherwise, no pooler. The head runs on the masked positions
 * only. Batches with padding need the mask: nothing then depends on padded positions, so that the padding token's row
 * gets no gradient from lookups (Hugging Face blocks it), only from the tied head.
 */
import type { Tensor } from '../../engine/graph.js';
import { dropout } from '../../engine/ops/index.js';
import { check } from '../../errors.js';
import { atPositions, flatten, mlmTransform, tiedLogits, tiedLoss } from '../../nn/heads.js';
import { norm, tokenEmbeddings, type Weights } from '../../nn/layers.js';
import { postNormStack } from '../../nn/transformer.js';
import { bodyInputs } from '../body-inputs.js';
import type { ModelConfig } from '../config.js';
import { checkTrace, type ModelBody, type ModelGraphs, type ParameterSpec, wantedRows } from '../model.js';
import { bias, linear, norm as normParameters, outputMatrix, outputParameters, span, table } from '../parameters.js';
import { type LayerNames, layerParameters } from '../transformer-layer.js';

/** The activation of a BERT as published. */
export const bertActivation = 'gelu';

const layerNames = (layer: number): LayerNames => {
  const at = `bert.encoder.layer.${layer}`;
  return {
    qkv: ['query', 'key', 'value'].map((each) => `${at}.attention.self.${each}`),
    attentionOutput: `${at}.attention.output.dense`,
    attentionNorm: `${at}.attention.output.LayerNorm`,
    up: `${at}.intermediate.dense`,
    down: `${at}.output.dense`,
    ffnNorm: `${at}.output.LayerNorm`,
    transposed: true,
  };
};

function bodyParameters(config: ModelConfig, trainedLayers: number): ParameterSpec[] {
  const { hidden, vocabSize, maxPositions, typeVocab = 2, padTokenId: zeroRow, initStd } = config;
  const stream = span('hidden', hidden);
  const at = 'bert.embeddings';
  const embeddings = (name: string, rows: ReturnType<typeof span>, foreign: string, zero?: number) =>
    table(`embeddings.${name}`, rows, stream, initStd, { foreign: `${at}.${foreign}.weight`, zeroRow: zero });
  const layer = (index: number) =>
    layerParameters(config, index, {
      residualStd: initStd,
      names: layerNames(index),
      attentionNormUse: 'innerNorm',
    });
  return [
    embeddings('word', span('vocab', vocabSize), 'word_embeddings', zeroRow),
    embeddings('position', span('positions', maxPositions), 'position_embeddings'),
    embeddings('type', span('types', typeVocab), 'token_type_embeddings'),
    ...normParameters('embeddings.norm', stream, { foreign: [`${at}.LayerNorm`] }),
    ...Array.from({ length: trainedLayers }, (_, index) => layer(index)).flat(),
  ];
}

function headParameters(config: ModelConfig): ParameterSpec[] {
  const { hidden, vocabSize, initStd } = config;
  const stream = span('hidden', hidden);
  const at = 'cls.predictions';
  return [
    ...linear('head.transform', stream, [stream], initStd, { foreign: [`${at}.transform.dense`], transposed: true }),
    ...normParameters('head.norm', stream, { use: 'headNorm', foreign: [`${at}.transform.LayerNorm`] }),
    ...outputParameters(config, `${at}.decoder.weight`),
    bias('head.bias', span('vocab', vocabSize), `${at}.bias`),
  ];
}

/** Embeddings and layers: [B, T] tokens -> [B, T, C]. */
function bertBody(config: ModelConfig): ModelBody {
  const { hidden, vocabSize, epsilon, maxPositions, typeVocab } = config;
  return {
    parameters: (trainedLayers) => bodyParameters(config, trainedLayers),
    trace(graph, weights, batch, options) {
      check(!options.decoding, 'BERT reads a whole text at once and has no decoding; use a causal model (GPT, Llama).');
      const { tokens, types, stack } = bodyInputs(graph, config, batch, options);

      const summed = tokenEmbeddings(tokens, weights, { vocabSize, hidden, maxPositions, typeVocab }, types);
      const normed = norm(summed, weights, 'embeddings.norm', epsilon);
      return postNormStack(dropout(normed, stack.dropout), weights, {
        ...stack,
        causal: false,
        activation: config.activation ?? bertActivation,
      });
    },
  };
}

/** The graphs of a BERT of this configuration, which is valid. */
export function bertGraphs(config: ModelConfig): ModelGraphs {
  const { vocabSize, epsilon } = config;
  const body = bertBody(config);
  const output = (weights: Weights) => outputMatrix(config, weights);
  const outputBias = (weights: Weights) => weights('head.bias', [vocabSize], 'vector');
  const transform = (rows: Tensor, weights: Weights, training: boolean) =>
    mlmTransform(rows, weights, { epsilon, activation: config.activation ?? bertActivation, training });
  const logits = (rows: Tensor, weights: Weights, training: boolean) =>
    tiedLogits(transform(rows, weights, training), output(weights), outputBias(weights));
  return {
    body,
    parameters: (trainedLayers) => [...body.parameters(trainedLayers), ...headParameters(config)],
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
        ...tiedLoss(rows, output(weights), labels, outputBias(weights)),
        ...(options.logits ? { logits: logits(flatten(last), weights, training) } : {}),
        ...(options.hiddenStates ? { hiddenStates: states } : {}),
      };
    },
    predict(graph, weights, batch, options) {
      const { hidden: last } = body.trace(graph, weights, batch, { ...options, training: false });
      return logits(wantedRows(graph, last, batch), weights, false);
    },
    logits,
  };
}
