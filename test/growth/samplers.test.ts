import t from 'tap';
import {
  edge,
  full,
  lvps,
  makeCost,
  makeLvps,
  makeSampler,
  none,
  type SamplerShape,
  sampleDepth,
  samplers,
  uniform,
} from '../../lib/growth/samplers.js';
import { uniform as uniformNumber } from '../../lib/random/philox.js';

const tables = {
  lvps: {
    1: [
      0.735593, 0.105085, 0.052542, 0.031525, 0.021017, 0.015012, 0.011259, 0.008757, 0.007006, 0.005732, 0.004777,
      0.001695,
    ],
    3: [0.636842, 0.104211, 0.069474, 0.049624, 0.037218, 0.028947, 0.023158, 0.018947, 0.015789, 0.015789],
    6: [0.647619, 0.085714, 0.066667, 0.053333, 0.043636, 0.036364, 0.066667],
  },
  edge: {
    1: [
      0.399734, 0.032005, 0.023039, 0.019229, 0.017499, 0.01699, 0.017499, 0.019229, 0.023039, 0.032005, 0.067229,
      0.332504,
    ],
    3: [0.428463, 0.024488, 0.020099, 0.018155, 0.017589, 0.018155, 0.020099, 0.024488, 0.035466, 0.392996],
    6: [0.461115, 0.020151, 0.018735, 0.018735, 0.020151, 0.023753, 0.437361],
  },
} as const;
const means = {
  lvps: { 1: 1.76677, 3: 4.225639, 6: 7.135411 },
  edge: { 1: 6.332499, 3: 7.392992, 6: 8.937359 },
} as const;
const stages = [1, 3, 6] as const;

t.test('the probabilities are the closed form of the paper to six digits', (t) => {
  for (const name of ['lvps', 'edge'] as const) {
    for (const trainedLayers of stages) {
      const probabilities = samplers[name].probabilities(trainedLayers, 12);
      t.equal(probabilities.length, 13);
      tables[name][trainedLayers].forEach((expected, i) => {
        const got = probabilities[trainedLayers + i] as number;
        t.ok(Math.abs(got - expected) < 1.01e-6, `${name} u=${trainedLayers} d=${trainedLayers + i}: ${got}`);
      });
      t.ok(Math.abs(samplers[name].expectedDepth(trainedLayers, 12) - means[name][trainedLayers]) < 1.01e-6);
    }
  }
  const variance = (trainedLayers: number) =>
    lvps
      .probabilities(trainedLayers, 12)
      .reduce((sum, p, d) => sum + p * (d - lvps.expectedDepth(trainedLayers, 12)) ** 2, 0);
  t.ok(Math.abs(Math.sqrt(variance(1)) - 1.7755) < 1e-4);
  t.ok(Math.abs(Math.sqrt(variance(3)) - 2.1673) < 1e-4);
  t.ok(Math.abs(Math.sqrt(variance(6)) - 1.8843) < 1e-4);
  t.end();
});

t.test('uniform, full and none are what their names say', (t) => {
  for (const [trainedLayers, mean] of [
    [1, 6.5],
    [3, 7.5],
    [6, 9],
  ] as const) {
    const p = uniform.probabilities(trainedLayers, 12);
    for (let d = trainedLayers; d <= 12; d++) t.ok(Math.abs((p[d] as number) - 1 / (13 - trainedLayers)) < 1e-12);
    t.ok(Math.abs(uniform.expectedDepth(trainedLayers, 12) - mean) < 1e-12);
    t.equal(full.expectedDepth(trainedLayers, 12), 12);
    t.equal(none.expectedDepth(trainedLayers, 12), trainedLayers);
    t.equal(full.sample(0.3, trainedLayers, 12), 12);
    t.equal(none.sample(0.3, trainedLayers, 12), trainedLayers);
  }
  t.equal(uniform.sample(0, 3, 12), 3);
  t.equal(uniform.sample(1 - 2 ** -53, 3, 12), 12);
  t.end();
});

t.test('probabilities sum to one and the last stage is always full depth', (t) => {
  for (const sampler of Object.values(samplers)) {
    for (let layers = 1; layers <= 24; layers++) {
      for (let trainedLayers = 1; trainedLayers <= layers; trainedLayers++) {
        const p = sampler.probabilities(trainedLayers, layers);
        const sum = p.reduce((a, b) => a + b, 0);
        const mean = p.reduce((a, b, d) => a + b * d, 0);
        if (Math.abs(sum - 1) > 1e-12 || p.some((value) => value < 0))
          t.fail(`${sampler.name} ${trainedLayers}/${layers}: ${p}`);
        if (Math.abs(mean - sampler.expectedDepth(trainedLayers, layers)) > 1e-9)
          t.fail(`${sampler.name} ${trainedLayers}/${layers} mean`);
      }
    }
    t.equal(sampler.probabilities(12, 12)[12], 1);
    t.equal(sampler.sample(0.999, 12, 12), 12);
  }
  t.end();
});

t.test('LVPS thresholds: the depth changes exactly where the inverse curve says', (t) => {
  const thresholds = {
    1: [0.264408, 0.159323, 0.106781, 0.075255, 0.054238, 0.039226, 0.027967, 0.01921, 0.012204, 0.006472, 0.001696],
    3: [0.363159, 0.258948, 0.189474, 0.13985, 0.102632, 0.073685, 0.050527, 0.03158, 0.01579],
    6: [0.352382, 0.266667, 0.200001, 0.146668, 0.103031, 0.066668],
  } as const;
  for (const trainedLayers of stages) {
    thresholds[trainedLayers].forEach((threshold, i) => {
      const depth = trainedLayers + 1 + i;
      t.ok(lvps.sample(threshold - 3e-6, trainedLayers, 12) >= depth, `u=${trainedLayers} below ${threshold}`);
      t.equal(lvps.sample(threshold + 3e-6, trainedLayers, 12), depth - 1, `u=${trainedLayers} above ${threshold}`);
    });
  }
  t.end();
});

t.test('a clamped multiplier gives full depth although floats would lose a layer', (t) => {
  t.equal(Math.floor((15 / 11) * 11), 14, 'the hazard is real');
  let hazards = 0;
  for (let layers = 1; layers <= 128; layers++) {
    for (let trainedLayers = 1; trainedLayers <= layers; trainedLayers++) {
      if (Math.floor((layers / trainedLayers) * trainedLayers) !== layers) hazards++;
      for (const sampler of [lvps, edge]) {
        if (sampler.sample(0, trainedLayers, layers) !== layers)
          t.fail(`${sampler.name} ${trainedLayers}/${layers} never reaches the top`);
        if (sampler.sample(1 - 2 ** -53, trainedLayers, layers) !== trainedLayers)
          t.fail(`${sampler.name} ${trainedLayers}/${layers} bottom`);
      }
    }
  }
  t.equal(hazards, 392);
  t.end();
});

t.test('draws agree with the closed form', (t) => {
  const count = 40000;
  for (const sampler of [lvps, edge, uniform]) {
    for (const trainedLayers of stages) {
      const seen = new Array<number>(13).fill(0);
      for (let step = 0; step < count; step++) {
        const depth = sampleDepth(sampler, trainedLayers, 12, 20240226, step);
        seen[depth] = (seen[depth] as number) + 1;
      }
      sampler.probabilities(trainedLayers, 12).forEach((p, depth) => {
        // Four standard errors of a binomial share, and a floor for the rare depths.
        const allowed = 4 * Math.sqrt((p * (1 - p)) / count) + 1e-4;
        const share = (seen[depth] as number) / count;
        if (Math.abs(share - p) > allowed)
          t.fail(`${sampler.name} u=${trainedLayers} d=${depth}: ${share} against ${p}`);
      });
    }
  }
  t.equal(sampleDepth(lvps, 3, 12, 7, 5), lvps.sample(uniformNumber(7, 1, 5), 3, 12));
  t.end();
});

t.test('shapes: a lower end is cheaper, and wrong ones are refused', (t) => {
  t.ok(makeLvps({ end: 0.3 }).expectedDepth(3, 12) < lvps.expectedDepth(3, 12));
  // P(depth = 12) of 3 trained layers, by the inverse curves at a multiplier of 4.
  const deepest = (name: 'lvps' | 'edge', shape: SamplerShape, expected: number) => {
    const found = makeSampler(name, shape).probabilities(3, 12)[12] as number;
    t.ok(Math.abs(found - expected) < 3e-6, `${name} ${JSON.stringify(shape)}: ${found}`);
  };
  deepest('lvps', { excess: 2 }, 1 / 18);
  deepest('edge', { excess: 2 }, 0.5 + Math.log(10 / 17) / 20);
  deepest('edge', { slope: 60 }, 0.5 - Math.log(8.5) / 60);
  t.equal(makeSampler('uniform').name, 'uniform');
  t.throws(() => makeLvps({ end: 1.5 }), { code: 'BAD_ARGUMENT', message: /end must be in \(0, 1\]; got 1.5/ });
  t.throws(() => makeLvps({ excess: 0 }), { code: 'BAD_ARGUMENT', message: /excess/ });
  t.throws(() => makeSampler('edge', { slope: -1 }), { code: 'BAD_ARGUMENT', message: /slope/ });
  t.throws(() => lvps.sample(1, 3, 12), { code: 'BAD_ARGUMENT', message: /\[0, 1\)/ });
  t.throws(() => lvps.sample(0.5, 13, 12), { code: 'BAD_ARGUMENT', message: /trainedLayers 13, layers 12/ });
  t.end();
});

t.test('cost sampling: a depth is the likelier the less its step costs', (t) => {
  // Weights 1, 1/4, 1/9: probabilities 36/49, 9/49, 4/49.
  const plain = makeCost();
  plain.probabilities(1, 3).forEach((p, depth) => {
    t.ok(Math.abs(p - [0, 36 / 49, 9 / 49, 4 / 49][depth]!) < 1e-12);
  });
  t.ok(Math.abs(plain.expectedDepth(1, 3) - (36 + 18 + 12) / 49) < 1e-12);
  // A head as dear as one layer: weights 1/4, 1/9, 1/16.
  const headed = makeCost({ fixed: 2, layer: 2 });
  const sum = 1 / 4 + 1 / 9 + 1 / 16;
  t.ok(Math.abs((headed.probabilities(1, 3)[3] as number) - 1 / 16 / sum) < 1e-12);
  t.ok(headed.expectedDepth(1, 3) > plain.expectedDepth(1, 3), 'deep steps are relatively cheaper');
  // Draws: the deepest for the smallest numbers, as with the other samplers, and the shares are the probabilities.
  t.equal(plain.sample(0, 1, 3), 3);
  t.equal(plain.sample(4 / 49 - 1e-9, 1, 3), 3);
  t.equal(plain.sample(4 / 49 + 1e-9, 1, 3), 2);
  t.equal(plain.sample(13 / 49 + 1e-9, 1, 3), 1);
  t.equal(plain.sample(1 - 2 ** -53, 1, 3), 1);
  // Without a preference it is uniform sampling.
  makeCost({ power: 0 })
    .probabilities(3, 12)
    .forEach((p, depth) => {
      t.ok(Math.abs(p - (depth < 3 ? 0 : 0.1)) < 1e-12);
    });
  for (const [wrong, message] of [
    [{ fixed: -1 }, /fixed/],
    [{ layer: 0 }, /layer/],
    [{ power: -1 }, /power/],
  ] as const) {
    t.throws(() => makeCost(wrong), { code: 'BAD_ARGUMENT', message });
  }
  t.end();
});
