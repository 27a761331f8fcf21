// Apollo in a trainer of one's own: TensorFlow.js computes the gradients, `apollo-lm/growth` says which layers stand
// where at which step. Everything is a function of (seed, step): no random state is kept.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import * as tf from '@tensorflow/tfjs-core';
import {
  defaultFractions,
  full,
  interpolate,
  lvps,
  makeSchedule,
  relativeRunCost,
  sampleDepth,
  uniformNumber,
} from 'apollo-lm/growth';
import { cloneLayer, createWeights, flopsPerToken, lossOf, variablesOf } from './model.mjs';

const layers = 4;
const batch = 4;
const learningRate = 8e-3;
const warmUp = 20; // steps; the rate is constant afterwards, so that runs of different length can be compared

// Streams of random numbers; the depths have stream 1 (`depthStream`).
const initStream = 100;
const batchStream = 101;

// ---- Text: lower-case letters, spaces and a little punctuation of one book --------------------------------------
const book = new URL('../../data/sample/twain-tom-sawyer-detective.txt.gz', import.meta.url);
const alphabet = ' abcdefghijklmnopqrstuvwxyz.,;?!\'"-';
const text = gunzipSync(readFileSync(book)).toString('utf8').toLowerCase();
const characters = text.replace(/[‘’]/g, "'").replace(/[“”]/g, '"').replace(/\s+/g, ' ');
const ids = Int32Array.from([...characters].map((c) => alphabet.indexOf(c)).filter((id) => id >= 0));
const trainLength = Math.floor(0.9 * ids.length);

export const config = { hidden: 32, seq: 16, vocabSize: alphabet.length };

/** Rows of `seq` characters from the given places; each character's target is the next one. */
function rows(starts) {
  const cut = (shift) =>
    Int32Array.from(starts.flatMap((at) => [...ids.subarray(at + shift, at + shift + config.seq)]));
  return { tokens: cut(0), targets: cut(1) };
}

/** The batch of a step, a function of (seed, step). */
function batchOf(seed, step) {
  const draw = (row) => uniformNumber(seed, batchStream, step * batch + row);
  return rows(Array.from({ length: batch }, (_, row) => Math.floor(draw(row) * (trainLength - config.seq))));
}

/** 24 rows from the last tenth of the text, always the same. */
const heldOut = rows(Array.from({ length: 24 }, (_, row) => trainLength + 200 * row));

// ---- Adam, with a state that can follow a weight ----------------------------------------------------------------
// `tf.train.adam` keeps its moments by position in the list of gradients; when the list grows, they no longer belong to
// the weights they came from. Here they belong to the variable, each with its own count of updates.
class Adam {
  #states = new Map();

  state(variable) {
    let state = this.#states.get(variable);
    if (!state) {
      state = { m: new Float32Array(variable.size), v: new Float32Array(variable.size), count: 0 };
      this.#states.set(variable, state);
    }
    return state;
  }

  copy(from, to) {
    const { m, v, count } = this.state(from);
    this.#states.set(to, { m: m.slice(), v: v.slice(), count });
  }

  forget(variable) {
    this.#states.delete(variable);
  }

  update(variable, gradient, rate) {
    const state = this.state(variable);
    state.count += 1;
    const { m, v, count } = state;
    const [beta1, beta2] = [0.9, 0.99];
    const [g, value] = [gradient.dataSync(), variable.dataSync().slice()];
    for (let i = 0; i < value.length; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * g[i];
      v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
      value[i] -= (rate * (m[i] / (1 - beta1 ** count))) / (Math.sqrt(v[i] / (1 - beta2 ** count)) + 1e-8);
    }
    const next = tf.tensor(value, variable.shape);
    variable.assign(next);
    next.dispose();
  }
}

// ---- The trainer ------------------------------------------------------------------------------------------------
/** Apollo: 1, 2, then 4 trained layers, run at sampled depths. */
export const apollo = (totalSteps) => ({
  sampler: lvps,
  schedule: makeSchedule({ stageLayers: [1, 2, layers], boundaries: { fractions: defaultFractions(3) }, totalSteps }),
});

/** Training from scratch is a schedule of one stage. */
export const scratch = (totalSteps) => ({
  sampler: full,
  schedule: makeSchedule({ stageLayers: [layers], boundaries: { steps: [] }, totalSteps }),
});

export class Trainer {
  constructor({ schedule, sampler }, { seed = 1, moments = 'reset' } = {}) {
    Object.assign(this, { schedule, sampler, seed, moments });
    let draws = 0;
    const uniform = () => uniformNumber(seed, initStream, draws++);
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    this.weights = createWeights(config, schedule.stageLayers[0], normal);
    this.optimizer = new Adam();
    this.flops = 0;
  }

  /** How deep step `step` is. Known before anything runs, and the same on every machine that takes part. */
  depthOf(step) {
    return sampleDepth(this.sampler, this.schedule.stageAt(step).trainedLayers, layers, this.seed, step);
  }

  /** FLOPs of a training step at a depth: forward and, twice as much, backward. */
  flopsOf(depth) {
    const { layer, head } = flopsPerToken(config);
    return 3 * batch * config.seq * (depth * layer + head);
  }

  /** To be called before each step: when it begins a stage, expands the layers by the map that has shared them. */
  growFor(step) {
    const from = this.weights.layers.length;
    const to = this.schedule.stageAt(step).trainedLayers;
    if (from === to) return undefined;
    const map = interpolate(from, to);
    // From the top: map[i] <= i, so no layer is overwritten before the last place that needs it is filled.
    for (let place = to - 1; place >= 0; place--) {
      if (map[place] !== place) this.#fill(place, map[place]);
    }
    if (this.moments === 'reset') {
      for (const variable of this.weights.layers.flatMap(Object.values)) this.optimizer.forget(variable);
    }
    return { step, from, to, map };
  }

  /** Puts a copy of layer `source` at `place`, with the optimizer's moments. */
  #fill(place, source) {
    const { layers } = this.weights;
    const copy = cloneLayer(layers[source]);
    for (const name of Object.keys(copy)) this.optimizer.copy(layers[source][name], copy[name]);
    for (const variable of Object.values(layers[place] ?? {})) {
      this.optimizer.forget(variable);
      variable.dispose();
    }
    layers[place] = copy;
  }

  /** One optimizer step at its sampled depth. */
  step(step) {
    const depth = this.depthOf(step);
    const layerMap = interpolate(this.weights.layers.length, depth);
    const variables = variablesOf(this.weights, layerMap);
    const forward = () => lossOf(this.weights, layerMap, batchOf(this.seed, step), config);
    const { value, grads } = tf.variableGrads(forward, variables);
    const rate = learningRate * Math.min(1, (step + 1) / warmUp);
    for (const variable of variables) this.optimizer.update(variable, grads[variable.name], rate);
    this.flops += this.flopsOf(depth);
    const [loss] = value.dataSync();
    tf.dispose([value, grads]);
    return { step, depth, loss, flops: this.flops };
  }

  /** Held-out loss at full depth, whatever the stage. */
  evaluate() {
    const layerMap = interpolate(this.weights.layers.length, layers);
    return tf.tidy(() => lossOf(this.weights, layerMap, heldOut, config).dataSync()[0]);
  }

  dispose() {
    for (const group of [this.weights.shared, ...this.weights.layers]) tf.dispose(Object.values(group));
  }
}

/** Trains for `steps` steps and tells `print` about it. Returns evaluations as `{ flops, loss }`. */
function trainAloud(trainer, steps, print) {
  const every = Math.max(1, Math.ceil(steps / 12)); // steps a line
  const evaluations = [];
  let line = [];
  for (let step = 0; step < steps; step++) {
    const before = trainer.schedule.boundaries.includes(step) ? trainer.evaluate() : undefined;
    const growth = trainer.growFor(step);
    if (growth) {
      const losses = `${before.toFixed(5)} before, ${trainer.evaluate().toFixed(5)} after`;
      print(`step ${step}: ${growth.from} -> ${growth.to} layers by [${growth.map}]; held-out loss ${losses}`);
    }
    line.push(trainer.step(step));
    if (line.length < every && step < steps - 1) continue;
    const loss = trainer.evaluate();
    evaluations.push({ flops: trainer.flops, loss });
    const training = line.reduce((sum, entry) => sum + entry.loss, 0) / line.length;
    const depths = line.map(({ depth }) => depth).join('');
    print(`step ${step}: loss ${training.toFixed(3)}, held-out ${loss.toFixed(3)}, depths ${depths}`);
    line = [];
  }
  return evaluations;
}

/** The loss at a cost, on the straight line between the evaluations around it; undefined outside them. */
function lossAt(evaluations, flops) {
  const next = evaluations.findIndex((point) => point.flops >= flops);
  if (next <= 0) return evaluations[next]?.flops === flops ? evaluations[next].loss : undefined;
  const [a, b] = [evaluations[next - 1], evaluations[next]];
  return a.loss + ((b.loss - a.loss) * (flops - a.flops)) / (b.flops - a.flops);
}

// ---- The command ------------------------------------------------------------------------------------------------
const usage = `node examples/with-tfjs/train.mjs [--steps N] [--seed N] [--moments reset|copy] [--compare]
  --steps N      optimizer steps of the Apollo run (120)
  --seed N       seed of weights, batches and depths (1)
  --moments M    what Adam's state of the layers does at a switch: reset (default) or copy
  --compare      then trains from scratch for the same FLOPs`;

function readOptions(args) {
  const options = {
    steps: { type: 'string', default: '120' },
    seed: { type: 'string', default: '1' },
    moments: { type: 'string', default: 'reset' },
    compare: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  };
  const { values } = parseArgs({ args, options });
  const whole = (name, least) => {
    const number = Number(values[name]);
    if (values[name].trim() !== '' && Number.isSafeInteger(number) && number >= least) return number;
    throw new Error(`--${name} takes a whole number of at least ${least}; got "${values[name]}".`);
  };
  if (!['reset', 'copy'].includes(values.moments)) {
    throw new Error(`--moments takes "reset" or "copy"; got "${values.moments}".`);
  }
  return { ...values, steps: whole('steps', 1), seed: whole('seed', 0) };
}

/** Returns the exit code. */
export function main(args, print = console.log, complain = console.error) {
  let options;
  try {
    options = readOptions(args);
  } catch (error) {
    complain(`${error.message}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    print(usage);
    return 0;
  }
  const { steps } = options;
  const grown = new Trainer(apollo(steps), options);
  const cost = relativeRunCost(grown.sampler, grown.schedule, steps, flopsPerToken(config));
  print(`Apollo, ${steps} steps; expected cost ${(100 * cost).toFixed(1)} % of full depth throughout`);
  const curve = trainAloud(grown, steps, print);
  const last = curve.at(-1);
  const giga = (flops) => (flops / 1e9).toFixed(2);
  const share = grown.flops / (steps * grown.flopsOf(layers));
  print(
    `held-out loss ${last.loss.toFixed(4)} after ${giga(last.flops)} GFLOPs, ${(100 * share).toFixed(1)} % of full depth`,
  );
  if (options.compare) {
    const plain = new Trainer(scratch(steps), options);
    const affordable = Math.max(1, Math.floor(grown.flops / plain.flopsOf(layers)));
    print(`\nScratch, ${affordable} steps for the same FLOPs`);
    const reference = trainAloud(plain, affordable, print);
    print('\nheld-out loss at full depth, at equal FLOPs\nGFLOPs  Apollo  Scratch');
    const budget = reference.at(-1).flops;
    for (let part = 1; part <= 8; part++) {
      const flops = (budget * part) / 8;
      const cells = [curve, reference].map((points) => lossAt(points, flops)?.toFixed(4) ?? '-');
      print(`${giga(flops).padStart(6)}  ${cells[0].padEnd(6)}  ${cells[1]}`);
    }
    plain.dispose();
  }
  grown.dispose();
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main(process.argv.slice(2));
