import t from 'tap';
import {
  derived,
  edgeDensity,
  lvpsDensity,
  type SamplerName,
  samplerRow,
} from '../../../bench/acceleration/figures/samplers.js';
import { edge, lvps } from '../../../lib/growth/index.js';

/** Area under `density` from `low` to `high`. */
function area(density: (y: number) => number, low: number, high: number): number {
  const parts = 20_000;
  const width = (high - low) / parts;
  let sum = 0;
  for (let i = 0; i < parts; i++) sum += density(low + (i + 0.5) * width) * width;
  return sum;
}

t.test('derived tables, probabilities and draws agree', (t) => {
  for (const name of Object.keys(derived) as SamplerName[]) {
    for (const trainedLayers of [1, 3, 6] as const) {
      const row = samplerRow(name, trainedLayers, 4000);
      t.ok(row.largestDifference < 6e-7, `${name}, ${trainedLayers}`);
      t.ok(Math.abs(row.mean - row.derived.mean) < 1e-6, `${name}, ${trainedLayers}: mean`);
      if (row.derived.sd !== undefined) t.ok(Math.abs(row.sd - row.derived.sd) < 1e-4, `${name}, ${trainedLayers}: sd`);
      t.ok(row.sigmas < 5, `${name}, ${trainedLayers}: draws`);
    }
  }
  t.end();
});

t.test('the densities of the multiplier have the area of the depths between the ends', (t) => {
  const shape = { excess: 0.4, end: 0.6, slope: 20 };
  for (const trainedLayers of [1, 3, 6]) {
    for (const [sampler, density] of [
      [lvps, lvpsDensity(12 / trainedLayers, shape)],
      [edge, edgeDensity(12 / trainedLayers, shape)],
    ] as const) {
      const probabilities = sampler.probabilities(trainedLayers, 12);
      for (const depth of [7, 9, 11]) {
        const p = area(density, depth / trainedLayers, (depth + 1) / trainedLayers);
        t.ok(Math.abs(p - (probabilities[depth] ?? 0)) < 1e-5, `${sampler.name}, ${trainedLayers} of ${depth}`);
      }
      t.equal(density(0.5), 0);
      t.equal(density(12 / trainedLayers + 0.5), 0);
    }
  }
  t.end();
});
