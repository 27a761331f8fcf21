// Trains step by step inside a loop of the host's own, with a curriculum that the host decides: node loop.mjs
import { createMethod, createModel, createTrainer, openDevice, preset } from 'apollo-lm';

// Digits that count up by a stride, e.g. 3 5 7 9 1 3: the label of each position is the next digit.
const [batch, seq] = [16, 24];
function rows(step, strides) {
  const tokens = new Int32Array(batch * seq);
  const labels = new Int32Array(batch * seq).fill(-100);
  for (let i = 0; i < tokens.length; i++) {
    const [row, place] = [Math.floor(i / seq), i % seq];
    tokens[i] = (step * 7 + row * 3 + place * (1 + ((step + row) % strides))) % 10;
    if (place > 0) labels[i - 1] = tokens[i];
  }
  return { tokens, labels };
}

const model = createModel(
  preset('gpt-nano', { layers: 4, hidden: 32, heads: 2, ffn: 128, vocabSize: 10, maxPositions: seq }),
);
const device = await openDevice({ threads: 1 });
const steps = 240;
const method = createMethod('stackbert', { layers: 4, totalSteps: steps, seed: 1 });
const trainer = await createTrainer({ steps, batch, seq, learningRate: 3e-3 }, { device, model, method });

let strides = 1; // the curriculum: another stride is added whenever the loss says that the last ones are learnt
let average = Math.log(10);
while (!trainer.done) {
  const { step, loss, growth } = await trainer.step(rows(trainer.steps, strides));
  if (growth) console.log(`step ${step}: growth from ${growth.from} to ${growth.to} layers`);
  average += (loss - average) / 10;
  if (average > 1 || strides === 4) continue;
  strides++;
  average = Math.log(10);
  console.log(`step ${step}: loss ${loss.toFixed(3)}, now ${strides} strides`);
}
console.log(`trained ${trainer.steps} steps, ${trainer.layers} layers, loss ${average.toFixed(3)}`);
await trainer.close();
await device.close();
