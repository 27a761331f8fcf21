/**
 * Heads that say one thing of a sequence: classes or a number. As Hugging Face's BertForSequenceClassification (a tanh
 * pooler, dropout, a linear layer) and GPT2ForSequenceClassification (one linear layer without bias).
 */
import type { Tensor } from '../../../engine/graph.js';
import { crossEntropy, div, dropout, matmul, mul, reshape, square, sub, sum, tanh } from '../../../engine/ops/index.js';
import * as is from '../../../is.js';
import type { ModelConfig, ParameterSpec } from '../../../models/index.js';
import { linearPair, matrix } from '../../../models/parameters.js';
import { linear } from '../../../nn/layers.js';
import type { Head, HeadContext } from '../head.js';

function sequenceParameters({ kind, hidden, initStd }: ModelConfig, outputs: number): ParameterSpec[] {
  if (kind === 'gpt') return [matrix('classifier.weight', [hidden, outputs], initStd)];
  return [...linearPair('pooler', hidden, hidden, initStd), ...linearPair('classifier', hidden, outputs, initStd)];
}

/** f32 [B, outputs]. */
function sequenceOutput({ config, weights, training, summary }: HeadContext, outputs: number): Tensor {
  const state = summary();
  const bert = config.kind === 'bert';
  const pooled = bert
    ? dropout(tanh(linear(state, weights, 'pooler', config.hidden)), training ? config.dropout : 0)
    : state;
  const weight = weights('classifier.weight', [config.hidden, outputs], 'matrix');
  const bias = bert ? weights('classifier.bias', [outputs], 'vector') : undefined;
  return matmul(pooled, weight, { bias, dtype: 'f32' });
}

const takesClassification = is.takes('classification', { classes: is.count });

/**
 * Logits f32 [B, classes]; loss: cross-entropy with the target `label`.
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

/** A number f32 [B, 1]; loss: the mean squared difference from the target `label`. */
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
