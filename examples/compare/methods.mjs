// Compares three training methods on the host's own batches and objective: node methods.mjs [FOLDER]
import { compare, createModel, openDevice, preset } from 'apollo-lm';
import { add, crossEntropy, mean, mul, square } from 'apollo-lm/engine';
import { tableRows, textTable } from 'apollo-lm/report';

// The host's own corpus: sums, "3+4=7.", one a row, as a function of the step.
const alphabet = '0123456789+=. ';
const seq = 12;
const encode = (text) => Int32Array.from(text.padEnd(seq), (letter) => alphabet.indexOf(letter));
const sum = (i) => `${i % 97}+${(i * 7) % 89}=${(i % 97) + ((i * 7) % 89)}.`;
function rows(first, batch) {
  const [tokens, labels] = [new Int32Array(batch * seq), new Int32Array(batch * seq).fill(-100)];
  for (let row = 0; row < batch; row++) {
    const text = encode(sum(first + row * 31));
    tokens.set(text, row * seq);
    labels.set(text.subarray(1, text.indexOf(12) + 1), row * seq); // up to the full stop
  }
  return { tokens, labels };
}
const shape = ({ batch, seq }) => ({ batch, seq, padding: false });
const batch = (request) => rows(request.seed + request.step * request.batch * 31, request.batch);
const heldOut = (request) => rows(1e6 + request.index, request.batch);
const corpus = { key: 'sums', shape, batch, heldOutCount: () => 2, heldOut };

// The host's own objective: the cross-entropy of the next letter, and a penalty on large logits.
const objective = { name: 'small logits', trace };
function trace({ logits, input, shape: { batch, seq } }) {
  const { loss, count } = crossEntropy(logits(), input('labels', [batch * seq]));
  return { loss: add(loss, mul(mean(square(logits())), 1e-4)), count };
}

const sizes = { layers: 4, hidden: 32, heads: 2, ffn: 128, vocabSize: alphabet.length, maxPositions: seq };
const model = createModel(preset('gpt-nano', { ...sizes, dropout: 0, attentionDropout: 0 }));
const device = await openDevice({ threads: 1 });
const run = { steps: 200, batch: 16, seq, learningRate: 3e-3, schedule: 'wsd', evaluateEvery: 20 };
const host = { device, model, corpus, objective, folder: process.argv[2] ?? 'runs/sums' };
for await (const event of compare({ ...run, ...host, methods: ['scratch', 'auto', 'stackbert'] })) {
  if (event.type === 'results') console.log(textTable(tableRows(event.analysis)));
}
await device.close();
