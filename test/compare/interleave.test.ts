import t from 'tap';
import { interleave } from '../../lib/compare/interleave.js';

async function* letters(text: string, closed?: string[]): AsyncGenerator<string, void, void> {
  try {
    for (const letter of text) yield letter;
  } finally {
    closed?.push(text);
  }
}

const isTurnEnd = (letter: string) => letter === '|';

t.test('runs take turns, and a shorter one leaves the circle', async (t) => {
  let seen = '';
  for await (const { run, event } of interleave([letters('ab|c|d'), letters('x|'), letters('123|4|')], isTurnEnd)) {
    seen += event === '|' ? ` ${run} ` : event;
  }
  t.equal(seen, 'ab 0 x 1 123 2 c 0 4 2 d');
});

t.test('leaving closes every run that is still open', async (t) => {
  const closed: string[] = [];
  for await (const { event } of interleave([letters('ab|c', closed), letters('xy', closed)], isTurnEnd)) {
    if (event === 'y') break;
  }
  t.same(closed.sort(), ['ab|c', 'xy']);
});

t.test('the failure of one run closes the others and is passed on', async (t) => {
  const closed: string[] = [];
  async function* failing(): AsyncGenerator<string, void, void> {
    yield 'f';
    throw new Error('diverged');
  }
  const all = async () => {
    for await (const _ of interleave([letters('a|b', closed), failing()], isTurnEnd));
  };
  await t.rejects(all(), /diverged/);
  t.same(closed, ['a|b']);
});
