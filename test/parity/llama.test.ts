/** Llama against Hugging Face's LlamaForCausalLM: grouped heads, an untied head; one key/value head, scaled rotary positions. */
import t from 'tap';
import { Decoder } from '../../lib/eval/generate/decoder.js';
import { testDevice } from '../device.js';
import { testAdamW, testOutputs } from './causal.js';
import { goldenJson, goldenModel, goldenStore, plainMap } from './golden.js';

const device = await testDevice();
t.teardown(() => device.close());

for (const reference of [
  { name: 'llama-ref-a', batch: 3, seq: 29 },
  { name: 'llama-ref-b', batch: 2, seq: 57 },
]) {
  const { name } = reference;
  testOutputs(device, reference);
  testAdamW(device, reference);

  t.test(`${name}: greedy tokens with a key/value cache`, async (t) => {
    const { prompt, greedy } = (await goldenJson(`${name}/generation.json`)) as { prompt: number[]; greedy: number[] };
    const model = await goldenModel(name);
    using store = await goldenStore(device, model, name);
    using decoder = new Decoder({ model, store, layerMap: plainMap(model) }, { batch: 1 });
    const likeliest = (logits: Float32Array) => logits.indexOf(Math.max(...logits));
    const tokens = [likeliest(await decoder.begin([prompt]))];
    while (tokens.length < greedy.length) tokens.push(likeliest(await decoder.next([tokens.at(-1)!])));
    t.same(tokens, greedy);
  });
}
