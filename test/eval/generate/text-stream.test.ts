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

t.test('what a stream adds to its prompt is the rest of the whole text', async (t) => {
  const fixture = (name: string) => join(import.meta.dirname, '../../fixtures/tokenizers', name);
  const tokenizers = {
    gpt2,
    bert: loadTokenizer(fixture('bert-base-uncased/vocab.txt')),
    'llama-2': loadTokenizer(fixture('llama/llama-2.json.gz')),
  };
  const text = "the cat isn't on the unbelievably long mat, it said. is it ? 日本 naïve ok";
  for (const [name, tokenizer] of Object.entries(tokenizers)) {
    const ids = [...tokenizer.encode(text)];
    const whole = tokenizer.decode(ids);
    let cuts = 0;
    for (let at = 0; at <= ids.length; at++) {
      const [prompt, rest] = [ids.slice(0, at), ids.slice(at)];
      const before = tokenizer.decode(prompt);
      const stream = textStream(tokenizer, [], prompt);
      const added = rest.map((id) => stream.push(id).text).join('') + stream.end();
      if (whole.startsWith(before)) {
        cuts++;
        t.equal(before + added, whole, `${name}, ${before}|`);
      } else t.ok(whole.endsWith(added) && added.length > 0, `${name}, ${before}| is written otherwise in the whole`);
    }
    t.ok(cuts > ids.length / 2, name);
  }
});

t.test('a long prompt and one of special tokens are no start of a text', async (t) => {
  const llama2 = loadTokenizer(join(import.meta.dirname, '../../fixtures/tokenizers/llama/llama-2.json.gz'));
  const [cat, mat] = [[...llama2.encode('cat')], [...llama2.encode('mat')]];
  const bos = llama2.idOf('<s>')!;
  const added = (prompt: readonly number[]) => {
    const stream = textStream(llama2, [], prompt);
    return mat.map((id) => stream.push(id).text).join('') + stream.end();
  };
  t.equal(added([...cat, ...cat, ...new Array(70).fill(bos)]), ' mat');
  t.equal(added(new Array(50).fill(cat).flat()), ' mat');
  t.equal(added([bos]), 'mat', 'nothing is before it');
});

t.test('stop strings are looked for behind the prompt only', async (t) => {
  const bert = loadTokenizer(join(import.meta.dirname, '../../fixtures/tokenizers/bert-base-uncased/vocab.txt'));
  const stream = textStream(bert, ['cat', ' on'], [...bert.encode('the cat')]);
  const pieces = [...bert.encode('sat on it')].map((id) => stream.push(id));
  t.equal(pieces.map(({ text }) => text).join(''), ' sat');
  t.ok(pieces.some(({ stopped }) => stopped));
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
