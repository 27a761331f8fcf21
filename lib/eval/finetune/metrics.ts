/**
 * GLUE's metrics, as scikit-learn and SciPy compute them: where a ratio is 0 / 0, F1 and Matthews' correlation are 0, and a
 * correlation with a constant is NaN. Zero examples are refused.
 */
import { check } from '../../errors.js';

type Values = ArrayLike<number>;

function checkPair(name: string, a: Values, b: Values): void {
  check(a.length === b.length, `${name} needs as many predictions as labels; got ${a.length} and ${b.length}.`);
  check(a.length > 0, `${name} needs at least one prediction; got none.`);
}

/** Share of predictions that equal their label. */
export function accuracy(predictions: Values, labels: Values): number {
  checkPair('accuracy', predictions, labels);
  let hits = 0;
  for (let i = 0; i < labels.length; i++) if (predictions[i] === labels[i]) hits++;
  return hits / labels.length;
}

/** Harmonic mean of precision and recall of the class `positive`; 0 when it is neither predicted nor there. */
export function f1(predictions: Values, labels: Values, positive = 1): number {
  checkPair('f1', predictions, labels);
  let both = 0;
  let either = 0;
  for (let i = 0; i < labels.length; i++) {
    const predicted = predictions[i] === positive;
    const actual = labels[i] === positive;
    if (predicted && actual) both++;
    either += Number(predicted) + Number(actual);
  }
  return either === 0 ? 0 : (2 * both) / either;
}

/** Matthews' correlation of classes (Gorodkin 2004 for more than two); 0 when one side is a single class. */
export function matthews(predictions: Values, labels: Values): number {
  checkPair('matthews', predictions, labels);
  const predicted = new Map<number, number>();
  const actual = new Map<number, number>();
  let hits = 0;
  for (let i = 0; i < labels.length; i++) {
    const [p, l] = [predictions[i] as number, labels[i] as number];
    predicted.set(p, (predicted.get(p) ?? 0) + 1);
    actual.set(l, (actual.get(l) ?? 0) + 1);
    if (p === l) hits++;
  }
  const total = labels.length;
  const dot = (a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>) =>
    [...a].reduce((sum, [key, count]) => sum + count * (b.get(key) ?? 0), 0);
  const product = (total ** 2 - dot(predicted, predicted)) * (total ** 2 - dot(actual, actual));
  return product === 0 ? 0 : (hits * total - dot(predicted, actual)) / Math.sqrt(product);
}

/** Pearson's correlation; NaN when one side is constant or there are fewer than two values. */
export function pearson(a: Values, b: Values): number {
  checkPair('pearson', a, b);
  const constant = (values: Values) => Array.from(values).every((value) => value === values[0]);
  if (a.length < 2 || constant(a) || constant(b)) return Number.NaN;
  const mean = (values: Values) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [(a[i] as number) - meanA, (b[i] as number) - meanB];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return Math.max(-1, Math.min(1, ab / Math.sqrt(aa) / Math.sqrt(bb)));
}

/** Spearman's rank correlation: Pearson's of the ranks, equal values sharing the mean of theirs. */
export function spearman(a: Values, b: Values): number {
  checkPair('spearman', a, b);
  return pearson(ranks(a), ranks(b));
}

/** Ranks from 1; ties share the mean of the ranks they take. */
export function ranks(values: Values): Float64Array {
  const order = Array.from({ length: values.length }, (_, i) => i);
  order.sort((i, j) => (values[i] as number) - (values[j] as number));
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end] as number] === values[order[start] as number]) end++;
    for (let i = start; i < end; i++) result[order[i] as number] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

/** Index of the largest value; the first of equals. */
export function argmax(values: Values): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}
