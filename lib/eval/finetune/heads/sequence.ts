/**
 * Heads with one output per sequence: classes or a number. As Hugging Face's BertForSequenceClassification (a tanh
 * pooler, dropout, a linear layer) and GPT2ForSequenceClassification (one linear layer without bias).
 */
import type { Tensor } from '../../../engine/graph.js';
import { crossEntropy, div, dropout, matmul, mul, reshape, square, sub, sum, tanh } from '../../../engine/ops/index.js';
import * as is from '../../../is.js';
import { familyOf, type ModelConfig, objectiveOf, type ParameterSpec } from '../../../models/index.js';
import { linear, span } from '../../../models/parameters.js';
import { linear as linearLayer } from '../../../nn/layers.js';
import type { Head, HeadContext } from '../head.js';

/** A masked model's first token passes through a pooler; a causal model's last one is read as it is, without a bias. */
const hasPooler = (config: ModelConfig): boolean => objectiveOf(config) === 'masked';

/** The pooler's parameters; none where the model's heads have no pooler. */
export function poolerParameters(config: ModelConfig): ParameterSpec[] {
  if (!hasPooler(config)) return [];
  const { hidden, initStd } = config;
  const name = familyOf(config).huggingFace?.heads.pooler;
  const stream = span('hidden', hidden);
  return linear('pooler', stream, [stream], initStd, { foreign: name === undefined ? name : [name], transposed: true });
}

function sequenceParameters(config: ModelConfig, outputs: number): ParameterSpec[] {
  const { hidden, initStd } = config;
  const names = familyOf(config).huggingFace?.heads;
  const options = { foreign: names && [names.classifier], transposed: true, bias: hasPooler(config) };
  const classifier = linear('classifier', span('hidden', hidden), [span('outputs', outputs)], initStd, options);
  return [...poolerParameters(config), ...classifier];
}

/** f32 [B, outputs]. */
function sequenceOutput({ config, weights, training, summary }: HeadContext, outputs: number): Tensor {
  const state = summary();
  const pools = hasPooler(config);
  const pooled = pools
    ? dropout(tanh(linearLayer(state, weights, 'pooler', config.hidden)), training ? config.dropout : 0)
    : state;
  const weight = weights('classifier.weight', [config.hidden, outputs], 'matrix');
  const bias = pools ? weights('classifier.bias', [outputs], 'vector') : undefined;
  return matmul(pooled, weight, { bias, dtype: 'f32' });
}

const takesClassification = is.takes('classification', { classes: is.count });

/**
 * Logits f32 [B, classes]; loss: cross-entropy with the target `label`.
 * @example
 * const head = classification(3);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function classification(classes: number): Head {
  takesClassification(classes);

  return {
    kind: `classification of ${classes}`,
    targets: { label: 'i32' },
    parameters: (config) => sequenceParameters(config, classes),
    output: (context) => sequenceOutput(context, classes),
    loss: (logits, { target }) => crossEntropy(logits, target('label')).loss,
    huggingFace: {
      task: 'SequenceClassification',
      outputs: { count: classes, problem: 'single_label_classification' },
    },
  };
}

/**
 * A number f32 [B, 1]; loss: the mean squared difference from the target `label`.
 * @example
 * const head = regression();
 */
export function regression(): Head {
  return {
    kind: 'regression',
    targets: { label: 'f32' },
    parameters: (config) => sequenceParameters(config, 1),
    output: (context) => sequenceOutput(context, 1),
    loss(output, { target, counted }) {
      const weight = counted();
      const error = square(sub(reshape(output, weight.shape), target('label')));
      return div(sum(mul(error, weight)), sum(weight));
    },
    huggingFace: { task: 'SequenceClassification', outputs: { count: 1, problem: 'regression' } },
  };
}
