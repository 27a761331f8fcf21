import t from 'tap';
import { createModel, type ModelConfig, preset, validateModelConfig, withDefaults } from '../../lib/models/index.js';

const valid = preset('bert-mini');

t.test('defaults are the recipe', async (t) => {
  const sizes = { layers: 12, hidden: 768, vocab: 100, maxPositions: 64 };
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
  refuses({ hidden: 1.5 }, /hidden must be a positive whole number; got 1\.5/);
  refuses({ vocab: '100' }, /vocab must be a positive whole number; got "100"/);
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

t.test('an unknown preset names the known ones', async (t) => {
  t.throws(() => preset('bert-huge'), {
    code: 'BAD_CONFIG',
    message: /no model preset "bert-huge".*bert-small, bert-base/,
  });
  t.throws(() => preset('constructor'), { code: 'BAD_CONFIG' });
  t.equal(preset('bert-nano', { vocab: 512 }).vocab, 512);
  t.throws(() => preset('bert-nano', { heads: 3 }), { message: /heads must divide hidden/ });
});
