/** The check of the arguments of a model's methods. They record graphs, once for each program, and are no part of a step. */
import * as is from '../is.js';
import type { LanguageModel } from './model.js';

const shape = is.object('a batch shape { batch, seq }', {
  batch: is.number,
  seq: is.number,
  targets: is.optional(is.number),
  padding: is.optional(is.boolean),
  types: is.optional(is.boolean),
});
const map = is.list(is.number);
const tracing = is.object('options { layerMap, training }', { layerMap: map, training: is.boolean });
const predicting = is.object('options { layerMap }', { layerMap: map, decoding: is.optional(is.record) });
const recording = { graph: is.graph, weights: is.weights, batch: shape };

const takesParameters = is.takes('LanguageModel.parameters', { trainedLayers: is.whole(0, is.listedMost) });
const takesTrace = is.takes('LanguageModel.trace', { ...recording, options: tracing });
const takesPredict = is.takes('LanguageModel.predict', { ...recording, options: predicting });
const takesLogits = is.takes('LanguageModel.logits', { rows: is.tensor, weights: is.weights, training: is.boolean });
const takesFlops = is.takes('LanguageModel.flopsPerToken', { depth: is.notNegative, seq: is.notNegative });
const takesBodyParameters = is.takes('ModelBody.parameters', { trainedLayers: is.whole(0, is.listedMost) });
const takesBodyTrace = is.takes('ModelBody.trace', { ...recording, options: tracing });

/** `model`, whose methods throw BAD_ARGUMENT naming an argument that is wrong. */
export function checkedModel(model: LanguageModel): LanguageModel {
  const { body } = model;
  return {
    ...model,
    body: {
      parameters(trainedLayers) {
        takesBodyParameters(trainedLayers);
        return body.parameters(trainedLayers);
      },
      trace(graph, weights, batch, options) {
        takesBodyTrace(graph, weights, batch, options);
        return body.trace(graph, weights, batch, options);
      },
    },
    parameters(trainedLayers) {
      takesParameters(trainedLayers);
      return model.parameters(trainedLayers);
    },
    trace(graph, weights, batch, options) {
      takesTrace(graph, weights, batch, options);
      return model.trace(graph, weights, batch, options);
    },
    predict(graph, weights, batch, options) {
      takesPredict(graph, weights, batch, options);
      return model.predict(graph, weights, batch, options);
    },
    logits(rows, weights, training) {
      takesLogits(rows, weights, training);
      return model.logits(rows, weights, training);
    },
    flopsPerToken(depth, seq) {
      takesFlops(depth, seq);
      return model.flopsPerToken(depth, seq);
    },
  };
}
