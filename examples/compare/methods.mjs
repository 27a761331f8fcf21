// Compares three training methods on the host's own batches and prints the table: node methods.mjs [FOLDER]
import { compare, createModel, openDevice, preset, report } from 'apollo-lm';

// The host's own corpus: sums, "3+4=7.", one a row, as a function of the step.
const alphabet = '0123456789+=. ';
const seq = 12;
const encode = (text) => Int32Array.from(text.padEnd(seq), (letter) => alphabet.indexOf(letter));
const sum = (i) => `${i % 97}+${(i * 7) % 89}=${(i % 97) + ((i * 7) % 89)}.`;
function rows(first, batch) {
  const [tokens, labels] = [new Int32Array(batch * seq), new Int32Array(batch * seq).fill(-100)];
  for (let row = 0; row < batch; row++) {
    const text = sum(first + row * 31);
    tokens.set(encode(text), row * seq);
    labels.set(encode(text).subarray(1, text.length), row * seq);
  }
  return { tokens, labels };
}
const corpus = {
  key: 'sums',
  shape: (batch, length) => ({ batch, seq: length, padding: false }),
  batch: ({ batch, seed, step }) => rows(seed + step * batch * 31, batch),
  heldOutCount: () => 2,
  heldOut: ({ batch, index }) => rows(1e6 + index, batch),
};

const sizes = { layers: 4, hidden: 32, heads: 2, ffn: 128, vocab: alphabet.length, maxPositions: seq };
const model = createModel(preset('gpt-nano', { ...sizes, dropout: 0, attentionDropout: 0 }));
const device = await openDevice({ threads: 1 });
const run = { steps: 200, batch: 16, seq, learningRate: 3e-3, schedule: 'wsd', evaluateEvery: 20 };
const methods = ['scratch', 'auto', 'stackbert'];
const folder = process.argv[2] ?? 'runs/sums';
for await (const { type, ...event } of compare({ ...run, device, model, corpus, methods, folder })) {
  if (type === 'results') console.log(report.textTable(report.tableRows(event.analysis)));
  else if (event.event.type === 'growth') console.log(`${event.method}: ${event.event.to} layers`);
}
await device.close();
