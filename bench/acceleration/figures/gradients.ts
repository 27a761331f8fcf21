/** How Tables 2 and 3 print gradients, and what they say of the definition. */
import { formatSpread } from '../../../lib/report/table.js';
import type { Measurement } from './measure.js';
import { heldOutSequences } from './measure.js';
import type { GradientStatistics } from './statistics.js';
import { fixed, over } from './support.js';

/** "1.66 ± 4.71" in 1e-3: mean and standard deviation within a network, each the mean over seeds. */
export function gradientCell<Value>(
  values: readonly Value[],
  pick: (value: Value) => Measurement,
  of: 'tensors' | 'absolute',
): string {
  const part = (name: 'mean' | 'sd') => over(values, (value) => 1e3 * pick(value).gradient[of][name]).mean;
  return `${significant(part('mean'))} ± ${significant(part('sd'))}`;
}

/** Norm of the whole gradient, mean ± sd over seeds. */
export function normCell<Value>(values: readonly Value[], pick: (value: Value) => Measurement): string {
  const norms = over(values, (value) => pick(value).gradient.norm);
  return formatSpread(norms, fixed(3));
}

const significant = (value: number) =>
  value >= 100 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3);

export const gradientHeaders = ['gradient of a tensor', 'of an entry', 'whole norm'] as const;

export const gradientNote =
  `Loss and gradient are of the same ${heldOutSequences} held-out sequences (whole batches), dropout off, f32; the gradient is ` +
  'that of their mean loss. The paper does not say of what its gradients are mean and deviation. Taken for absolute values ' +
  'of entries, those of its random BERT-Base would have a norm of about 300, taken for norms of its two hundred tensors one ' +
  'of about 0.4, which is the order of the whole norms here; so "gradient of a tensor" (mean ± deviation, over the tensors, of ' +
  'the L2 norm of each) is beside the paper\'s figure, and "of an entry" has the absolute values of single entries. Both in 1e-3 ' +
  'and means over seeds. Gradients depend on the size of the model: compare their ratios within a column.';

/** Mean over seeds of the mean tensor norm, relative to that of another network of the same seed. */
export function gradientRatio<Value>(
  values: readonly Value[],
  pick: (value: Value) => GradientStatistics,
  base: (value: Value) => GradientStatistics,
): number {
  return over(values, (value) => pick(value).tensors.mean / base(value).tensors.mean).mean;
}
