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
  for (const name of presetNames())
    t.same(configFromHuggingFace(configToHuggingFace(preset(name))), preset(name), name);
  const { padTokenId: _, ...noPadding } = preset('bert-nano');
  t.same(configFromHuggingFace(configToHuggingFace(noPadding)), noPadding, 'without a padding token');
});

t.test('what differs from the models as published has a field, and only then', async (t) => {
  const bert = await golden('tiny-bert-a');
  const gpt = await golden('gpt2-ref');
  const of = (json: Record<string, unknown>) => configFromHuggingFace({ ...json, resid_pdrop: 0.1, embd_pdrop: 0.1 });
  for (const name of ['gelu', 'gelu_python']) t.notOk('activation' in of({ ...bert, hidden_act: name }), name);
  for (const name of ['gelu_new', 'gelu_pytorch_tanh', 'gelu_fast', 'gelu_accurate']) {
    t.notOk('activation' in of({ ...gpt, activation_function: name }), name);
    t.equal(of({ ...bert, hidden_act: name }).activation, 'geluTanh', name);
  }
  t.equal(of({ ...gpt, activation_function: 'gelu' }).activation, 'gelu');
  for (const name of ['silu', 'swish']) t.equal(of({ ...gpt, activation_function: name }).activation, 'silu', name);
  t.equal(of({ ...bert, hidden_act: 'relu' }).activation, 'relu');
  t.equal(of({ ...gpt, tie_word_embeddings: false }).tied, false);
  t.notOk('tied' in of({ ...gpt, tie_word_embeddings: true }));
  const dropouts = configFromHuggingFace({ ...gpt, resid_pdrop: 0.2, embd_pdrop: 0 });
  t.match(dropouts, { dropout: 0.2, embeddingDropout: 0 });
  t.match(configToHuggingFace(dropouts), { resid_pdrop: 0.2, embd_pdrop: 0 });
  for (const activation of ['gelu', 'geluTanh', 'relu', 'silu'] as const) {
    for (const kind of ['bert', 'gpt'] as const) {
      const config = { ...preset(`${kind}-nano`), activation, tied: false };
      const { activation: found, ...rest } = configFromHuggingFace(configToHuggingFace(config));
      t.equal(found ?? (kind === 'bert' ? 'gelu' : 'geluTanh'), activation);
      t.equal(rest.tied, false);
    }
  }
});

t.test('settings that would change the arithmetic are refused', async (t) => {
  const bert = await golden('tiny-bert-a');
  const gpt = await golden('gpt2-ref');
  const refuses = (json: Record<string, unknown>, message: RegExp): void => {
    t.throws(() => configFromHuggingFace(json, 'x/config.json'), { code: 'BAD_CHECKPOINT', message });
  };
  refuses({ ...bert, model_type: 'roberta' }, /^x\/config\.json: model_type is "roberta"; only "bert" and "gpt2"/);
  refuses({ ...bert, model_type: 'constructor' }, /only "bert" and "gpt2"/);
  refuses({ ...bert, hidden_act: 'quick_gelu' }, /hidden_act is "quick_gelu"; supported: gelu, gelu_python/);
  refuses({ ...bert, hidden_act: 'toString' }, /hidden_act is "toString"/);
  refuses({ ...bert, quantization_config: { quant_method: 'fp8' } }, /quantization_config is .*fp8.*supported: none/);
  refuses({ ...bert, position_embedding_type: 'relative_key' }, /position_embedding_type/);
  refuses({ ...gpt, activation_function: 'mish' }, /activation_function is "mish"; supported: gelu/);
  refuses({ ...gpt, scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx is true/);
  refuses({ ...gpt, n_layer: '3' }, /n_layer must be a number; got "3"/);
});
