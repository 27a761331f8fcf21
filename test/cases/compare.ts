/** How far results are from their reference, and whether they are the same bits. */

/** Largest |actual - expected| / (|expected| + rms(expected)); infinite when one is not finite or lengths differ. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) squares += expected[i]! ** 2;
  const rms = Math.sqrt(squares / expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const scale = Math.abs(expected[i]!) + rms;
    const error = Math.abs(actual[i]! - expected[i]!);
    const relative = error === 0 ? 0 : error / (scale || 1e-6);
    if (!(relative <= worst)) worst = Number.isFinite(relative) ? relative : Infinity;
  }
  return worst;
}

/**
 * Where two arrays differ in their bits, in words; undefined where they are the same. For large ones: tap's `same` takes
 * seconds for what this compares in a millisecond.
 */
export function difference(actual: ArrayBufferView, expected: ArrayBufferView): string | undefined {
  const bytes = (view: ArrayBufferView) => Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  const [found, wanted] = [bytes(actual), bytes(expected)];
  if (found.equals(wanted)) return undefined;
  const at = wanted.findIndex((byte, i) => byte !== found[i]);
  return `${found.length} bytes against ${wanted.length}, different from byte ${at < 0 ? wanted.length : at} on`;
}
