/**
 * The head that marks a piece of the sequence, as Hugging Face's BertForQuestionAnswering: one linear layer gives each
 * token a logit for being the first and one for being the last of the piece.
 */
import { add, crossEntropy, matmul, reshape, scale, slice, transpose, where } from '../../../engine/ops/index.js';
import { familyOf } from '../../../models/index.js';
import { linear, span } from '../../../models/parameters.js';
import type { Head } from '../head.js';

/** Logit of a place behind the last token: no softmax sees it, so that results do not depend on how rows are padded. */
const noToken = -1e9;

/**
 * Output f32 [B, 2, T]: of each row first the start logits, then the end logits, of all T places of its bucket; -1e9
 * behind the last token. Loss: the mean of both cross-entropies with the targets `start` and `end`, places in the
 * sequence; -100 is not counted.
 * @example
 * spans.kind // kept with a fine-tuned model
 */
export const spans: Head = {
  kind: 'spans',
  targets: { start: 'i32', end: 'i32' },
  parameters(config) {
    const { hidden, initStd } = config;
    const names = familyOf(config).huggingFace?.heads;
    const options = { foreign: names && [names.spans], transposed: true };
    return linear('spans', span('hidden', hidden), [span('outputs', 2)], initStd, options);
  },
  output({ config, hidden, mask, weights }) {
    const weight = weights('spans.weight', [config.hidden, 2], 'matrix');
    const logits = matmul(hidden, weight, { bias: weights('spans.bias', [2], 'vector'), dtype: 'f32' }); // [B, T, 2]
    const [batch, seq] = hidden.shape as [number, number, number];
    return where(reshape(mask(), [batch, 1, seq]), transpose(logits, [0, 2, 1]), noToken);
  },
  loss(output, { target }) {
    const [batch, , seq] = output.shape as [number, number, number];
    const part = (index: number) => reshape(slice(output, [0, index, 0], [-1, 1, -1]), [batch, seq]);
    const losses = [crossEntropy(part(0), target('start')).loss, crossEntropy(part(1), target('end')).loss] as const;
    return scale(add(...losses), 0.5);
  },
  huggingFace: { task: 'QuestionAnswering' },
};
