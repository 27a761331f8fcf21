import { join } from 'node:path';
import t from 'tap';
import { loadTokenizer } from '../../../lib/data/index.js';
import { stopFilter, textStream } from '../../../lib/eval/generate/text-stream.js';

const gpt2 = loadTokenizer(join(import.meta.dirname, '../../fixtures/tokenizers/gpt2/tokenizer.json.gz'));

/** What a filter shows of pieces: each one's text, then what was held back. */
function shown(stops: readonly string[], pieces: readonly string[]): { texts: string[]; stopped: boolean } {
  const filter = stopFilter(stops);
  const texts: string[] = [];
  for (const piece of pieces) {
    const { text, stopped } = filter.push(piece);
    texts.push(text);
    if (stopped) return { texts, stopped };
  }
  return { texts: [...texts, filter.end()], stopped: false };
}

t.test('a stop string ends the text before it, also across pieces', async (t) => {
  t.same(shown(['\n\n'], ['one\n', '\ntwo']), { texts: ['one', ''], stopped: true });
  t.same(shown(['STOP'], ['aS', 'T', 'O', 'P']), { texts: ['a', '', '', ''], stopped: true });
  t.same(shown(['STOP'], ['xSTOPy']), { texts: ['x'], stopped: true });
});

t.test('what only looked like a stop string is shown when it is none, or at the end', async (t) => {
  t.same(shown(['STOP'], ['aST', 'x']), { texts: ['a', 'STx', ''], stopped: false });
  t.same(shown(['STOP'], ['aST']), { texts: ['a', 'ST'], stopped: false });
  t.same(shown(['aab'], ['aa', 'ab']), { texts: ['', 'a'], stopped: true }, 'a beginning within a beginning');
});

t.test('of several stop strings the first in the text counts', async (t) => {
  t.same(shown(['world', 'lo'], ['hello world']), { texts: ['hel'], stopped: true });
  t.same(shown(['xyz', 'y'], ['ax', 'yz']), { texts: ['a', ''], stopped: true });
});

t.test('without stop strings nothing is held back', async (t) => {
  t.same(shown([], ['a', 'b']), { texts: ['a', 'b', ''], stopped: false });
});

t.test('characters that lie across tokens come whole', async (t) => {
  const text = 'naïve 🙂 日本語 ok';
  const tokens = [...gpt2.encode(text)];
  const stream = textStream(gpt2);
  const pieces = tokens.map((token) => stream.push(token).text);
  t.equal(pieces.join('') + stream.end(), text);
  t.notOk(pieces.some((piece) => piece.includes('\ufffd')));
  t.ok(pieces.includes(''), 'some token ended within a character');
});

t.test('an incomplete character at the end is shown as what it is', async (t) => {
  const [first] = gpt2.encode('🙂');
  const stream = textStream(gpt2);
  t.equal(stream.push(first!).text, '');
  t.equal(stream.end(), '\ufffd');
});

t.test('a stop string may lie across tokens and hold characters of several', async (t) => {
  const stream = textStream(gpt2, ['🙂!']);
  const pieces: string[] = [];
  let stopped = false;
  for (const token of gpt2.encode('Hello 🙂! there')) {
    const piece = stream.push(token);
    pieces.push(piece.text);
    stopped = piece.stopped;
    if (stopped) break;
  }
  t.ok(stopped);
  t.equal(pieces.join(''), 'Hello ');
});
