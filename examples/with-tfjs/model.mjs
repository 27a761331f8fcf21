// A small GPT (causal, pre-norm, one head, no biases) in plain TensorFlow.js ops. Of growth it knows one thing:
// `layerMap` says which of the layers that exist stands at each place. A layer that is named twice runs twice, and
// `tf.variableGrads` adds the gradients of both uses up.
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-layers'; // only for the ops' gradients: under Node the core alone registers none

tf.enableProdMode(); // no notice about the native build

const layerShapes = ({ hidden }) => ({
  query: [hidden, hidden],
  key: [hidden, hidden],
  value: [hidden, hidden],
  out: [hidden, hidden],
  up: [hidden, 4 * hidden],
  down: [4 * hidden, hidden],
});

/** Everything outside the layers; the head is the transposed token embedding. */
const sharedShapes = ({ hidden, vocabSize, seq }) => ({ tokens: [vocabSize, hidden], positions: [seq, hidden] });

/** A variable for each shape, normally distributed with mean 0 and a deviation of 1 / sqrt(rows). */
function createVariables(shapes, normal) {
  const entries = Object.entries(shapes).map(([name, [rows, columns]]) => {
    const value = Float32Array.from({ length: rows * columns }, () => normal() / Math.sqrt(rows));
    return [name, tf.variable(tf.tensor2d(value, [rows, columns]))];
  });
  return Object.fromEntries(entries);
}

/** `trainedLayers` layers and what stands around them; `normal` gives normally distributed numbers. */
export function createWeights(config, trainedLayers, normal) {
  const shared = createVariables(sharedShapes(config), normal);
  return { shared, layers: Array.from({ length: trainedLayers }, () => createVariables(layerShapes(config), normal)) };
}

/** A layer with the same values in variables of its own. */
export const cloneLayer = (layer) =>
  Object.fromEntries(Object.entries(layer).map(([name, variable]) => [name, tf.variable(variable.clone())]));

/** Every weight that `layerMap` uses, once. */
export function variablesOf(weights, layerMap) {
  const layers = [...new Set(layerMap)].map((unit) => weights.layers[unit]);
  return [weights.shared, ...layers].flatMap((group) => Object.values(group));
}

/** RMS norm (Zhang & Sennrich, 2019) without weights. */
const normalise = (x) => tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-5)));

/** x [batch * seq, hidden] -> the same shape. Position i attends to positions 0 to i. */
function attention(layer, x, mask, { hidden, seq }) {
  const [q, k, v] = [layer.query, layer.key, layer.value].map((w) => tf.reshape(tf.matMul(x, w), [-1, seq, hidden]));
  const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(hidden)), mask);
  return tf.matMul(tf.reshape(tf.matMul(tf.softmax(scores), v), [-1, hidden]), layer.out);
}

/**
 * Mean loss, a scalar, of predicting `targets` from `tokens` (Int32Arrays, whole rows of `seq`) through the layers
 * `weights.layers[layerMap[0]]`, `weights.layers[layerMap[1]]`, ...
 */
export function lossOf(weights, layerMap, { tokens, targets }, config) {
  const { hidden, seq, vocabSize } = config;
  const mask = tf.mul(tf.sub(tf.linalg.bandPart(tf.ones([seq, seq]), -1, 0), 1), 1e9); // 0 where seen, else -1e9
  const embedded = tf.matMul(
    tf.oneHot(tf.tensor1d(tokens, 'int32'), vocabSize, 1, 0, 'float32'),
    weights.shared.tokens,
  );
  let x = tf.reshape(tf.add(tf.reshape(embedded, [-1, seq, hidden]), weights.shared.positions), [-1, hidden]);
  for (const unit of layerMap) {
    const layer = weights.layers[unit];
    x = tf.add(x, attention(layer, normalise(x), mask, config));
    x = tf.add(x, tf.matMul(tf.relu(tf.matMul(normalise(x), layer.up)), layer.down));
  }
  const logits = tf.matMul(normalise(x), weights.shared.tokens, false, true);
  const wanted = tf.oneHot(tf.tensor1d(targets, 'int32'), vocabSize, 1, 0, 'float32');
  return tf.mul(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), wanted), -1)), -1);
}

/** Forward FLOPs per token of a layer and of the head, two for a multiply-add. A training step costs three times that. */
export const flopsPerToken = ({ hidden, seq, vocabSize }) => ({
  layer: 24 * hidden * hidden + 4 * seq * hidden,
  head: 2 * hidden * vocabSize,
});
