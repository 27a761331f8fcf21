/** Special tokens that are written in a corpus become special tokens, or text where that is asked for. */
import { join } from 'node:path';
import t from 'tap';
import { prepareCorpus } from '../../../lib/data/index.js';
import { byteCharacters } from '../../../lib/data/tokenizer/pretokenize.js';

const vocab = Object.fromEntries([...byteCharacters, '<|endoftext|>'].map((token, id) => [token, id]));

t.test('<|endoftext|> in a text is the special token or thirteen bytes; the cache keeps them apart', async (t) => {
  const folder = t.testdir({
    text: { 'a.txt': 'a<|endoftext|>b' },
    gpt: { 'vocab.json': JSON.stringify(vocab), 'merges.txt': '#version: 0.2\n' },
  });
  const prepared = async (specialTokensAsText: boolean): Promise<{ ids: number[]; key: string; cached: boolean }> => {
    const corpus = await prepareCorpus({
      inputs: [join(folder, 'text')],
      tokenizer: { path: join(folder, 'gpt') },
      cacheDir: join(folder, 'cache'),
      heldOut: 0,
      workers: 0,
      specialTokensAsText,
    });
    const ids = [...corpus.sources[0]!.document(0, 100)];
    corpus.close();
    return { ids, key: corpus.key, cached: corpus.stats.cached };
  };
  const special = await prepared(false);
  t.strictSame(special.ids, [97, 256, 98, 256], 'the last one ends the document');
  const plain = await prepared(true);
  t.strictSame(plain.ids, [97, ...Buffer.from('<|endoftext|>'), 98, 256]);
  t.not(plain.key, special.key);
  t.notOk(plain.cached);
  t.ok((await prepared(true)).cached);
});
