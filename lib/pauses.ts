/** Pauses of long computations on the JavaScript thread, in which the event loop runs and a signal is checked. */
import { setImmediate } from 'node:timers/promises';

/** Milliseconds of work after which there is a pause. */
const pieceMs = 4;
/** Elements between two looks at the clock. */
const pieceElements = 16_384;

/**
 * Calls `work(from, to)` on pieces that cover [0, count), in order, with pauses of the event loop between them. Borders fall
 * on multiples of 16,384, or, where each of the `count` units has `elements` elements, on multiples of the units that hold about as many.
 */
export async function inPieces(
  count: number,
  work: (from: number, to: number) => void,
  { elements = 1 }: { readonly elements?: number } = {},
): Promise<void> {
  const piece = Math.max(1, Math.floor(pieceElements / elements));
  let restedAt = performance.now();
  for (let from = 0; from < count; from += piece) {
    if (performance.now() - restedAt > pieceMs) {
      await setImmediate();
      restedAt = performance.now();
    }
    work(from, Math.min(count, from + piece));
  }
}

/** A new array of what `change` makes of each value and its index. */
export async function changedValues(
  values: Float32Array,
  change: (value: number, index: number) => number,
): Promise<Float32Array> {
  const changed = new Float32Array(values.length);
  await inPieces(values.length, (from, to) => {
    for (let i = from; i < to; i++) changed[i] = change(values[i]!, i);
  });
  return changed;
}

/** Every value times `factor`, as a new array. */
export function scaledValues(values: Float32Array, factor: number): Promise<Float32Array> {
  return changedValues(values, (value) => value * factor);
}

/** Milliseconds between two pauses of `resting`. */
const everyMs = 30;

/**
 * An `onMerge` that pauses at the first merge and then about every 30 ms: `report` receives the progress, and after the
 * pause `check` may throw to end it.
 */
export function resting(
  report: (done: number) => void,
  check: () => void,
): (done: number) => Promise<void> | undefined {
  let restedMs = Number.NEGATIVE_INFINITY;
  const rest = async () => {
    await setImmediate();
    restedMs = performance.now();
    check();
  };
  return (done) => {
    if (performance.now() - restedMs < everyMs) return undefined;
    report(done);
    return rest();
  };
}
