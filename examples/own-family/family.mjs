// A model family outside the package: a decoder with RMS norms, ReLU, learned positions and no biases.
// Registered, it is created, trained with Apollo, saved and opened as the built-in ones are: node family.mjs [folder]
import { createModel, createTrainer, openDevice, openModelFolder, preset, registerFamily } from 'apollo-lm';
import * as models from 'apollo-lm/models';
import * as nn from 'apollo-lm/nn';

const { span, table, linear, norm } = models;

/** Parameters of a layer, with the axes along which they grow. */
function layer({ hidden, ffn, initStd }, index) {
  const stream = span('hidden', hidden);
  const [query, key, value] = ['query', 'key', 'value'].map((name) => span('heads', hidden, `attention.${name}`));
  const units = span('ffn', ffn, 'ffn.up');
  const options = { layer: index, bias: false };
  const ends = { ...options, use: 'branchOutput' };
  return [
    ...linear('attention.qkv', stream, [query, key, value], initStd, options),
    ...linear('attention.output', value, [stream], initStd, ends),
    ...norm('attention.norm', stream, options),
    ...linear('ffn.up', stream, [units], initStd, options),
    ...linear('ffn.down', units, [stream], initStd, ends),
    ...norm('ffn.norm', stream, options),
  ];
}

/** Embeddings, layers and the final norm. */
const body = (config) => ({
  parameters(trainedLayers) {
    const { hidden, vocabSize, maxPositions, initStd } = config;
    const stream = span('hidden', hidden);
    return [
      table('embeddings.word', span('vocab', vocabSize), stream, initStd),
      table('embeddings.position', span('positions', maxPositions), stream, initStd),
      ...Array.from({ length: trainedLayers }, (_, index) => layer(config, index)).flat(),
      ...norm('final.norm', stream, { use: 'headNorm', bias: false }),
    ];
  },
  trace(graph, weights, batch, options) {
    const { tokens, stack } = models.bodyInputs(graph, config, batch, options);
    const cache = models.decodingCache(graph, config, batch, options);
    const positions = cache?.first ? undefined : cache?.positions;
    return nn.preNormStack(nn.tokenEmbeddings(tokens, weights, config, undefined, positions), weights, 'final.norm', {
      ...stack,
      cache,
      causal: true,
      activation: 'relu',
      norm: 'rms',
      biases: { qkv: false, attentionOutput: false, ffn: false },
    });
  },
});

registerFamily({
  kind: 'bare',
  title: 'Bare',
  objective: 'causal',
  norm: 'pre',
  hasTypes: false,
  activations: ['relu'],
  defaults: ({ hidden }) => ({ heads: hidden / 16, ffn: 4 * hidden, dropout: 0, attentionDropout: 0, epsilon: 1e-5 }),
  fields: {},
  check: ({ hidden, heads }, expect) =>
    expect(hidden % heads === 0, `heads must divide hidden ${hidden}; got ${heads}.`),
  presets: { 'bare-nano': { layers: 4, hidden: 32, vocabSize: 10, maxPositions: 24 } },
  create: (config) => models.causalGraphs(config, body(config), models.outputParameters(config)),
  layerFlops: ({ hidden, ffn }, seq, options) =>
    8 * hidden ** 2 + 4 * hidden * ffn + models.attentionFlops(hidden, seq, options),
  headFlops: models.causalHeadFlops,
});

// Digits that count up by one, two or three, e.g. 3 5 7 9 1 3: the label of each position is the next digit.
const [batch, seq, steps] = [16, 24, 240];
function rows(step) {
  const tokens = Int32Array.from({ length: batch * seq }, (_, i) => {
    const [row, place] = [Math.floor(i / seq), i % seq];
    return (step * 7 + row * 3 + place * (1 + ((step + row) % 3))) % 10;
  });
  return { tokens, labels: tokens.map((_, i) => ((i + 1) % seq === 0 ? -100 : tokens[i + 1])) };
}

const model = createModel(preset('bare-nano'));
const device = await openDevice({ threads: 1 });
const checkpointDir = process.argv[2];
const method = { method: 'apollo', options: { moments: 'reset' } };
const trainer = await createTrainer(
  { steps, batch, seq, learningRate: 3e-3 },
  { device, model, method, ...(checkpointDir && { checkpointDir }) },
);
while (!trainer.done) {
  const { step, loss, depth, growth } = await trainer.step(rows(trainer.steps));
  if (growth) console.log(`step ${step}: growth from ${growth.from} to ${growth.to} layers`);
  if (step % 60 === 0) console.log(`step ${step}: loss ${loss.toFixed(3)} at depth ${depth}`);
}
if (checkpointDir) {
  const saved = await openModelFolder(await trainer.save());
  console.log(`${saved.folder}: ${saved.config.kind}, ${saved.layers} layers x ${saved.config.hidden}`);
  await saved.close();
}
await trainer.close();
await device.close();
