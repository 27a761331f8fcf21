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
    vocabSize: 50257,
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
    vocabSize: 120,
    maxPositions: 32,
    dropout: 0,
    attentionDropout: 0,
    epsilon: 1e-12,
    initStd: 0.1,
    typeVocab: 2,
    padTokenId: 0,
  });
});

const llama3 = { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4 } as const;
const llama3Json = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };

t.test("Llama's settings, as transformers 4 and 5 write them", async (t) => {
  const { rope_parameters: _, ...json } = (await golden('llama-ref-a')) as Record<string, unknown>;
  const plain = {
    kind: 'llama',
    layers: 4,
    hidden: 48,
    heads: 6,
    keyValueHeads: 2,
    ffn: 112,
    vocabSize: 211,
    maxPositions: 64,
    dropout: 0,
    attentionDropout: 0,
    epsilon: 1e-5,
    initStd: 0.02,
    tied: false,
  };
  const linear = { ropeScaling: { type: 'linear', factor: 2 } };
  const scaled = (originalPositions: number) => ({ ropeScaling: { ...llama3, type: 'llama3', originalPositions } });
  const { tied: _tied, keyValueHeads: _heads, ...without } = plain;
  const cases: readonly (readonly [object, object])[] = [
    [{}, plain],
    [{ rope_parameters: { rope_type: 'default', rope_theta: 5e5 } }, { ...plain, ropeTheta: 5e5 }],
    [
      { rope_theta: 5e5, rope_scaling: null },
      { ...plain, ropeTheta: 5e5 },
    ],
    [{ rope_theta: 10000 }, plain],
    [{ rope_scaling: { type: 'linear', factor: 2 } }, { ...plain, ...linear }],
    [{ rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 10000 } }, { ...plain, ...linear }],
    [{ rope_scaling: { ...llama3Json, original_max_position_embeddings: 32 } }, { ...plain, ...scaled(32) }],
    [
      { rope_parameters: llama3Json, rope_theta: 7 },
      { ...plain, ...scaled(64), ropeTheta: 7 },
    ],
    [
      { rope_scaling: { rope_type: 'linear', factor: 2 }, rope_parameters: llama3Json },
      { ...plain, ...linear },
    ],
    [{ head_dim: 8 }, plain],
    [{ head_dim: 16 }, { ...plain, headSize: 16 }],
    [
      { head_dim: null, num_key_value_heads: null },
      { ...without, tied: false },
    ],
    [{ num_key_value_heads: 6, tie_word_embeddings: true }, without],
    [{ tie_word_embeddings: undefined }, plain],
    [
      { attention_bias: true, mlp_bias: true },
      { ...plain, attentionBias: 'all', ffnBias: true },
    ],
    [
      { attention_dropout: 0.1, pretraining_tp: 1 },
      { ...plain, attentionDropout: 0.1 },
    ],
    [{ sliding_window: 16 }, plain],
    [{ model_type: 'mistral', sliding_window: null, attention_bias: true }, plain],
    [{ model_type: 'mistral' }, plain],
    [{ model_type: 'mistral', sliding_window: 64 }, plain],
    [
      { model_type: 'qwen2', sliding_window: 16 },
      { ...plain, attentionBias: 'qkv' },
    ],
    [
      { model_type: 'qwen3', head_dim: 8, sliding_window: 16, mlp_bias: true },
      { ...plain, queryKeyNorms: true },
    ],
    [
      { model_type: 'qwen3', head_dim: undefined, attention_bias: true },
      { ...plain, headSize: 128, attentionBias: 'all', queryKeyNorms: true },
    ],
    [
      { model_type: 'qwen2', use_sliding_window: false, sliding_window: 16 },
      { ...plain, attentionBias: 'qkv' },
    ],
  ];
  for (const [changes, expected] of cases) {
    t.same(configFromHuggingFace({ ...json, ...changes }), expected, JSON.stringify(changes));
  }
});

t.test('Llama is written for both versions, and under the name of the class that computes it', async (t) => {
  const written = (changes: object) => configToHuggingFace(preset('llama-nano', changes));
  t.match(written({}), {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    head_dim: 64,
    num_key_value_heads: 1,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: true,
    rope_theta: 10000,
    rope_scaling: null,
    rope_parameters: { rope_type: 'default', rope_theta: 10000 },
  });
  const scaling = { ...llama3Json, original_max_position_embeddings: 64 };
  t.match(written({ ropeTheta: 5e5, ropeScaling: { ...llama3, type: 'llama3', originalPositions: 64 } }), {
    rope_theta: 5e5,
    rope_scaling: scaling,
    rope_parameters: { ...scaling, rope_theta: 5e5 },
  });
  const qwen = written({ attentionBias: 'qkv' });
  t.match(qwen, { architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', use_sliding_window: false });
  t.notOk('attention_bias' in qwen || 'mlp_bias' in qwen);
  const third = written({ queryKeyNorms: true });
  t.match(third, { architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', attention_bias: false });
  for (const changes of [
    { attentionBias: 'qkv', ffnBias: true },
    { queryKeyNorms: true, ffnBias: true },
    { queryKeyNorms: true, attentionBias: 'qkv' },
  ]) {
    t.throws(() => written(changes), {
      code: 'BAD_ARGUMENT',
      message: /No class of Hugging Face's library has the biases and norms of this model \(model\.attentionBias,/,
    });
  }
});

t.test('presets survive the way there and back', async (t) => {
  for (const name of presetNames())
    t.same(configFromHuggingFace(configToHuggingFace(preset(name))), preset(name), name);
  for (const changes of [
    { heads: 4, keyValueHeads: 2, headSize: 24, tied: false },
    { ropeTheta: 5e5, attentionBias: 'all', ffnBias: true },
    { attentionBias: 'qkv', ropeScaling: { type: 'linear', factor: 4 } },
    { queryKeyNorms: true, attentionBias: 'all' },
    { ropeScaling: { ...llama3, type: 'llama3', originalPositions: 64 } },
  ] as const) {
    const config = preset('llama-nano', changes);
    t.same(configFromHuggingFace(configToHuggingFace(config)), config, Object.keys(changes).join());
  }
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
  const known = /; known: "bert", "gpt2", "llama", "mistral", "qwen2", "qwen3"\.$/;
  for (const type of ['roberta', 'constructor', 'qwen3_moe', 'gemma', 'gemma2', 'phi3', 'mixtral']) {
    refuses({ ...bert, model_type: type }, new RegExp(`^x/config\\.json: model_type is "${type}"${known.source}`));
  }
  refuses({ ...bert, hidden_act: 'quick_gelu' }, /hidden_act is "quick_gelu"; supported: gelu, gelu_python/);
  refuses({ ...bert, hidden_act: 'toString' }, /hidden_act is "toString"/);
  refuses({ ...bert, quantization_config: { quant_method: 'fp8' } }, /quantization_config is .*fp8.*supported: none/);
  refuses({ ...bert, position_embedding_type: 'relative_key' }, /position_embedding_type/);
  refuses({ ...gpt, activation_function: 'mish' }, /activation_function is "mish"; supported: gelu/);
  refuses({ ...gpt, scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx is true/);
  refuses({ ...gpt, n_layer: '3' }, /n_layer must be a number; got "3"/);

  const llama = await golden('llama-ref-a');
  const window = (value: unknown) =>
    new RegExp(`sliding_window is ${value}; supported: null, or at least the 64 positions`);
  refuses({ ...llama, model_type: 'mistral', sliding_window: 63 }, window(63));
  refuses(
    { ...llama, model_type: 'mistral', max_position_embeddings: 8192 },
    /sliding_window is 4096; .* 8192 positions/,
  );
  refuses({ ...llama, model_type: 'qwen2', use_sliding_window: true, sliding_window: 32 }, window(32));
  refuses({ ...llama, hidden_act: 'gelu' }, /hidden_act is "gelu"; supported: "silu", "swish"/);
  refuses({ ...llama, pretraining_tp: 2 }, /pretraining_tp is 2/);
  refuses({ ...llama, partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0\.5; supported: 1/);
  for (const key of ['rope_scaling', 'rope_parameters']) {
    const rope = (fields: object) => ({ ...llama, rope_parameters: null, [key]: fields });
    refuses(
      rope({ rope_type: 'yarn', factor: 2 }),
      /rotary positions: rope_type is "yarn"; supported: "default", "linear"/,
    );
    refuses(rope({ type: 'dynamic', factor: 2 }), /rope_type is "dynamic"/);
    refuses(rope({ rope_type: 'linear' }), /x\/config\.json: rotary positions: factor must be a number; got undefined/);
    refuses(rope({ ...llama3Json, low_freq_factor: '1' }), /low_freq_factor must be a number; got "1"/);
    refuses(rope({ rope_theta: '1e4' }), /rope_theta must be a number/);
    refuses(rope({ partial_rotary_factor: 0.5 }), /rotary positions: partial_rotary_factor is 0\.5/);
  }
});
