import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { configFromHuggingFace, configToHuggingFace } from '../../lib/interop/hugging-face-config.js';
import { preset, presetNames } from '../../lib/models/index.js';

const golden = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(import.meta.dirname, `../fixtures/golden/${name}/config.json`), 'utf8'));

t.test('reads configurations as Hugging Face writes them', async (t) => {
  t.same(configFromHuggingFace(await golden('tiny-gpt2')), {
    kind: 'gpt',
    layers: 2,
    hidden: 2,
    heads: 2,
    ffn: 8,
    vocab: 50257,
    maxPositions: 1024,
    dropout: 0.1,
    attentionDropout: 0.1,
    epsilon: 1e-5,
    initStd: 0.02,
  });
  t.same(configFromHuggingFace(await golden('bert-pretrain-ref')), {
    kind: 'bert',
    layers: 3,
    hidden: 32,
    heads: 4,
    ffn: 64,
    vocab: 120,
    maxPositions: 32,
    dropout: 0,
    attentionDropout: 0,
    epsilon: 1e-12,
    initStd: 0.1,
    typeVocab: 2,
    padTokenId: 0,
  });
});

t.test('presets survive the way there and back', async (t) => {
  for (const name of presetNames) t.same(configFromHuggingFace(configToHuggingFace(preset(name))), preset(name), name);
  const { padTokenId: _, ...noPadding } = preset('bert-nano');
  t.same(configFromHuggingFace(configToHuggingFace(noPadding)), noPadding, 'without a padding token');
});

t.test('settings that would change the arithmetic are refused', async (t) => {
  const bert = await golden('tiny-bert-a');
  const gpt = await golden('gpt2-ref');
  const refuses = (json: Record<string, unknown>, message: RegExp): void => {
    t.throws(() => configFromHuggingFace(json, 'x/config.json'), { code: 'BAD_CHECKPOINT', message });
  };
  refuses({ ...bert, model_type: 'roberta' }, /^x\/config\.json: model_type is "roberta"; only "bert" and "gpt2"/);
  refuses({ ...bert, model_type: 'constructor' }, /only "bert" and "gpt2"/);
  refuses({ ...bert, hidden_act: 'relu' }, /hidden_act is "relu"; supported: "gelu"/);
  refuses({ ...bert, position_embedding_type: 'relative_key' }, /position_embedding_type/);
  refuses({ ...gpt, activation_function: 'relu' }, /activation_function is "relu"; supported: "gelu_new"/);
  refuses({ ...gpt, scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx is true/);
  refuses({ ...gpt, n_layer: '3' }, /n_layer must be a number; got "3"/);
});
