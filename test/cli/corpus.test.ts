import t from 'tap';
import { describeCorpus } from '../../lib/cli/corpus.js';
import { loadSettings } from '../../lib/cli/settings/config.js';
import type { Corpus } from '../../lib/data/index.js';
import { preset } from '../../lib/models/index.js';

t.test('a mixture says how often a run goes through its sources, with the rows of all ranks', async (t) => {
  const model = preset('gpt-nano');
  const part = { name: 'wiki', start: 0, tokenCount: 40 * 128, rows: 1000 };
  const corpus = {
    stats: { documents: 2, trainTokens: 5120, heldOutTokens: 0 },
    sources: [
      { name: 'wiki', share: 1 },
      { name: 'none', share: 0 },
    ],
    train: { tokenCount: part.tokenCount, parts: [part, { ...part, name: 'none', rows: 0 }] },
  } as unknown as Corpus;
  const settings = loadSettings({ flags: { steps: 10, batch: 4, accumulation: 2, seq: 128 } });
  const passes = (ranks?: number) =>
    Number(
      /wiki [^;]*gone through (\S+) times/.exec(
        describeCorpus(corpus, { ...settings, ...(ranks && { ranks }) }, model),
      )![1],
    );
  t.ok(passes() > 0);
  t.equal(passes(4) / passes(), 4);
});
