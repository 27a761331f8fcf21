/** How far results are from their reference. */

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
