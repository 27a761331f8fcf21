import t from 'tap';
import {
  configurableFields,
  createModel,
  headSizeOf,
  keyValueHeadsOf,
  type ModelConfig,
  preset,
  structureOf,
  validateModelConfig,
  withDefaults,
  withShape,
} from '../../lib/models/index.js';

const valid = preset('bert-mini');

t.test('defaults are the recipe', async (t) => {
  const sizes = { layers: 12, hidden: 768, vocabSize: 100, maxPositions: 64 };
  t.same(withDefaults({ kind: 'bert', ...sizes }), {
    kind: 'bert',
    ...sizes,
    heads: 12,
    ffn: 3072,
    dropout: 0.1,
    attentionDropout: 0.1,
    epsilon: 1e-12,
    initStd: 0.02,
    typeVocab: 2,
    padTokenId: 0,
  });
  const gpt = withDefaults({ kind: 'gpt', ...sizes });
  t.equal(gpt.epsilon, 1e-5);
  t.notOk('typeVocab' in gpt || 'padTokenId' in gpt);
  t.same(
    withDefaults({ kind: 'llama', ...sizes }),
    { kind: 'llama', ...sizes, heads: 12, ffn: 2048, dropout: 0, attentionDropout: 0, epsilon: 1e-5, initStd: 0.02 },
    'three feed-forward matrices of 8/3 of the width are as large as two of four times it',
  );
  t.equal(preset('llama-nano').ffn, 384, '8/3 of 128 rounded up to a multiple of 64');
});

t.test('a configuration no model can have is refused with field, rule and value', async (t) => {
  const refuses = (changes: Partial<Record<keyof ModelConfig, unknown>>, message: RegExp): void => {
    const config = { ...valid, ...changes } as ModelConfig;
    t.throws(() => validateModelConfig(config), { code: 'BAD_CONFIG', message });
    t.throws(() => createModel(config), { code: 'BAD_CONFIG' }, 'and no model is made of it');
  };
  refuses({ heads: 5 }, /^model\.heads must divide hidden \(256\); got 5\. Use 4 heads/);
  refuses({ heads: 512 }, /heads must divide hidden \(256\); got 512\. Use 256 heads/);
  refuses({ kind: 't5' }, /kind must be one of "bert", "gpt", "llama"; got "t5"/);
  refuses({ layers: 0 }, /layers must be a positive whole number; got 0/);
  refuses({ layers: 1e9 }, /layers must be at most 1048576; got 1000000000/);
  refuses({ hidden: 1.5 }, /hidden must be a positive whole number; got 1\.5/);
  refuses({ vocabSize: '100' }, /vocabSize must be a positive whole number; got "100"/);
  refuses({ dropout: 1 }, /dropout must be at least 0 and below 1; got 1/);
  refuses({ attentionDropout: Number.NaN }, /attentionDropout must be at least 0 and below 1; got NaN/);
  refuses({ epsilon: 0 }, /epsilon must be between 0 and 1; got 0/);
  refuses({ initStd: -1 }, /initStd must be positive; got -1/);
  refuses({ typeVocab: undefined }, /typeVocab must be a positive whole number \(usually 2\) for BERT/);
  refuses(
    { padTokenId: 8192 },
    /padTokenId must be a token of the vocabulary \(0 to 8191\) or left out for BERT; got 8192/,
  );
  refuses({ kind: 'gpt' }, /typeVocab belongs to BERT; leave it out for GPT/);
});

const llama = withDefaults({ kind: 'llama', layers: 2, hidden: 16, heads: 4, vocabSize: 10, maxPositions: 8 });
const llama3 = {
  type: 'llama3',
  factor: 8,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalPositions: 8,
} as const;

t.test("fields of Llama: what they may be is a message's words, and a model of it can be made", async (t) => {
  for (const changes of [
    { keyValueHeads: 1 },
    { headSize: 6 },
    { hidden: 12, headSize: 2 },
    { ropeScaling: { type: 'linear', factor: 2 } },
    { ropeScaling: llama3, ropeTheta: 5e5, attentionBias: 'all', ffnBias: true },
    { attentionBias: 'qkv', tied: false },
    { queryKeyNorms: true },
  ] as const) {
    t.doesNotThrow(() => createModel({ ...llama, ...changes }), JSON.stringify(changes));
  }
  for (const [changes, message] of [
    [{ keyValueHeads: 3 }, /^model\.keyValueHeads must be a whole number that divides the 4 heads.* for Llama; got 3/],
    [{ keyValueHeads: 8 }, /keyValueHeads must be .*; got 8/],
    [{ heads: 3 }, /heads must divide hidden \(16\); got 3/],
    [{ hidden: 12 }, /heads must divide hidden \(12\) into heads of an even size, .* pairs; got 4\. Or give headSize/],
    [{ headSize: 3 }, /headSize must be an even whole number, since rotary positions turn pairs.*; got 3/],
    [{ ropeTheta: Number.POSITIVE_INFINITY }, /ropeTheta must be a positive number/],
    [
      { ropeScaling: { type: 'yarn', factor: 2 } },
      /ropeScaling must be \{ type: "linear", factor \}, \{ type: "llama3"/,
    ],
    [{ ropeScaling: { type: 'constructor' } }, /ropeScaling must be/],
    [{ ropeScaling: { type: 'linear' } }, /ropeScaling must be/],
    [{ ropeScaling: { type: 'linear', factor: 2, beta: 1 } }, /ropeScaling must be/],
    [{ ropeScaling: { ...llama3, lowFrequencyFactor: 4 } }, /lowFrequencyFactor < highFrequencyFactor/],
    [{ ropeScaling: 'linear' }, /ropeScaling must be .*; got "linear"/],
    [{ attentionBias: true }, /attentionBias must be "none", "qkv", "all" or left out for Llama; got true/],
    [{ ffnBias: 1 }, /ffnBias must be true, false or left out for Llama; got 1/],
    [{ queryKeyNorms: 'yes' }, /queryKeyNorms must be true, false or left out for Llama; got "yes"/],
    [{ activation: 'gelu' }, /activation must be one of silu; got "gelu"/],
    [{ typeVocab: 2 }, /^model\.typeVocab belongs to BERT; leave it out for Llama/],
    [{ embeddingDropout: 0.1 }, /^model\.embeddingDropout belongs to GPT; leave it out for Llama/],
  ] as const) {
    const config = { ...llama, ...changes } as unknown as ModelConfig;
    t.throws(() => validateModelConfig(config), { code: 'BAD_CONFIG', message }, JSON.stringify(changes));
  }
  for (const field of ['keyValueHeads', 'headSize', 'ropeTheta'] as const) {
    const message = new RegExp(`${field} belongs to Llama; leave it out for GPT`);
    t.throws(() => validateModelConfig({ ...preset('gpt-nano'), [field]: 1 }), { code: 'BAD_CONFIG', message });
  }
});

t.test('the structure of a model has what is left out filled in', async (t) => {
  const { kind, hidden, heads, ffn, vocabSize, maxPositions, epsilon } = llama;
  const common = { kind, hidden, heads, ffn, vocabSize, maxPositions, epsilon, activation: 'silu', tied: true };
  const filled = {
    keyValueHeads: 4,
    headSize: 4,
    ropeTheta: 10_000,
    attentionBias: 'none',
    ffnBias: false,
    queryKeyNorms: false,
  };
  t.same(structureOf(llama), { ...common, ...filled, ropeScaling: undefined });
  t.same(structureOf({ ...llama, ...filled, attentionBias: 'none', tied: true }), structureOf(llama));
  t.same(structureOf({ ...llama, ropeScaling: llama3, dropout: 0.1 }), { ...structureOf(llama), ropeScaling: llama3 });
});

t.test('fields that a preset can change are those of all families and of its own', async (t) => {
  const own = { bert: 'padTokenId', gpt: 'embeddingDropout', llama: 'keyValueHeads' };
  for (const kind of ['bert', 'gpt', 'llama'] as const) {
    const fields = configurableFields(preset(`${kind}-nano`));
    t.notOk(fields.includes('kind'));
    t.equal(new Set(fields).size, fields.length, 'each once');
    t.ok(['layers', 'epsilon', 'tied', 'activation'].every((field) => fields.includes(field)));
    for (const [other, field] of Object.entries(own)) t.equal(fields.includes(field), other === kind, field);
  }
});

t.test('other widths: heads keep their size, and as many query heads share a key/value head', async (t) => {
  const grouped = { ...llama, keyValueHeads: 2 };
  const half = withShape(grouped, { hidden: 8, heads: 2, ffn: 20 });
  t.match(half, { hidden: 8, heads: 2, ffn: 20, keyValueHeads: 1, layers: 2 });
  t.equal(headSizeOf(half), headSizeOf(grouped));
  t.equal(half.heads / keyValueHeadsOf(half), grouped.heads / keyValueHeadsOf(grouped));
  t.notOk('keyValueHeads' in withShape(llama, { hidden: 8, heads: 2, ffn: 20 }));
});

t.test('an unknown preset names the known ones', async (t) => {
  t.throws(() => preset('bert-huge'), {
    code: 'BAD_CONFIG',
    message: /no model preset "bert-huge".*bert-small, bert-base/,
  });
  t.throws(() => preset('constructor'), { code: 'BAD_CONFIG' });
  t.equal(preset('bert-nano', { vocabSize: 512 }).vocabSize, 512);
  t.throws(() => preset('bert-nano', { heads: 3 }), { message: /heads must divide hidden/ });
});
