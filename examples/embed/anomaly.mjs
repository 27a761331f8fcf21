// A host program that uses the training loop as a library: it has its own data, its own idea of when training is good
// enough and its own use for the model. Here, a door controller's log: lines the model finds unlikely are reported.
import { createMethod, createModel, openDevice, preset, train } from 'apollo-lm';
import { Graph, ParameterStore } from 'apollo-lm/engine';

// ---- The host's own data: lines of a log, written by a little simulation ----------------------------------------
const people = ['ana', 'bo', 'chris', 'dee'];
const doors = ['north', 'south', 'lab'];

/** Line `i` of the log. Someone opens a door; the same person closes the same door. */
function logLine(i) {
  const person = people[(i * 7 + (i >> 3)) % 4];
  const door = doors[(i * 5 + (i >> 2)) % 3];
  return `${person} opens ${door}; ${person} closes ${door}.`;
}

const length = 40; // characters of a line, padded with spaces
const alphabet = [...new Set(Array.from({ length: 100 }, (_, i) => logLine(i)).join(''))].sort().join('');
const encode = (line) => Int32Array.from(line.padEnd(length, ' '), (character) => alphabet.indexOf(character));

/** A batch of lines as the model takes it: each position's label is the next character, padding has none (-100). */
function rows(lines) {
  const tokens = new Int32Array(lines.length * length);
  const labels = new Int32Array(lines.length * length).fill(-100);
  lines.forEach((line, row) => {
    const ids = encode(line);
    tokens.set(ids, row * length);
    labels.set(ids.subarray(1, line.length), row * length);
  });
  return { tokens, labels };
}

// ---- What the loop asks of a corpus: batches as a function of the step ------------------------------------------
const corpus = {
  key: 'door log, simulated',
  shape: ({ batch, seq }) => ({ batch, seq, padding: false }),
  batch: ({ batch, step }) => rows(Array.from({ length: batch }, (_, row) => logLine(step * batch + row))),
  heldOutCount: () => 1,
  heldOut: ({ batch }) => rows(Array.from({ length: batch }, (_, row) => logLine(1e6 + row))),
};

// ---- Training, for as long as the host wants --------------------------------------------------------------------
const steps = 400;
const layers = 4;
const model = createModel(
  preset('gpt-nano', {
    layers,
    hidden: 48,
    heads: 2,
    ffn: 192,
    vocabSize: alphabet.length,
    maxPositions: length,
    dropout: 0,
    attentionDropout: 0,
  }),
);
const method = createMethod('apollo', { layers, totalSteps: steps, seed: 1 });
const device = await openDevice({ threads: 1 });
const store = new ParameterStore(device); // given to the loop, so that the weights are ours afterwards
const enough = new AbortController();

let trainedLayers = 0;
const options = { steps, batch: 12, seq: length, learningRate: 3e-3, evaluateEvery: 20 };
for await (const event of train(options, { device, model, method, corpus, store, signal: enough.signal })) {
  if (event.type === 'growth') console.log(`step ${event.step}: ${event.from} -> ${event.to} layers`);
  if (event.type === 'evaluation') {
    trainedLayers = event.trainedLayers;
    console.log(`step ${event.step}: held-out loss ${event.lossFull.toFixed(3)}`);
    // Person and door cannot be foreseen, so the loss does not fall to zero; this is where the rules are learnt.
    if (trainedLayers === layers && event.lossFull < 0.15) enough.abort();
  }
  if (event.type === 'done')
    console.log(`stopped after ${event.step} of ${steps} steps, ${(event.trainMs / 1000).toFixed(1)} s`);
}

// ---- The model at work: how surprised is it by a line? ----------------------------------------------------------
const graph = new Graph();
const weights = (name, shape) => graph.parameter(name, shape);
const layerMap = Array.from({ length: layers }, (_, layer) => layer);
const { loss } = model.trace(graph, weights, corpus.shape({ batch: 1, seq: length }), { layerMap, training: false });
graph.output('loss', loss);
const program = await device.compile(graph, { store });

/** Mean surprise per character, in nats. */
export async function surprise(line) {
  const { outputs } = await program.run(rows([line]));
  return outputs.loss[0];
}

const lines = [
  'bo opens lab; bo closes lab.',
  'dee opens north; dee closes north.',
  'ana opens south; bo closes lab.',
  'bo closes lab; bo opens lab.',
];
for (const line of lines) {
  const nats = await surprise(line);
  console.log(`${nats > 0.35 ? 'ODD ' : 'fine'} ${nats.toFixed(2)}  ${line}`);
}

export async function close() {
  store.dispose();
  await device.close();
}
