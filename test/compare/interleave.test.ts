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
  for await (const { run, event } of interleave([letters('ab|c|d'), letters('x|'), letters('123|4|')], {
    endsTurn: isTurnEnd,
  })) {
    seen += event === '|' ? ` ${run} ` : event;
  }
  t.equal(seen, 'ab 0 x 1 123 2 c 0 4 2 d');
});

t.test('leaving closes every run that is still open', async (t) => {
  const closed: string[] = [];
  for await (const { event } of interleave([letters('ab|c', closed), letters('xy', closed)], { endsTurn: isTurnEnd })) {
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
    for await (const _ of interleave([letters('a|b', closed), failing()], { endsTurn: isTurnEnd }));
  };
  await t.rejects(all(), /diverged/);
  t.same(closed, ['a|b']);
});

t.test('a run whose turn comes when none may start any more is left out', async (t) => {
  const closed: string[] = [];
  let mayStart = true;
  const events: string[] = [];
  const runs = [letters('a|b', closed), letters('x|y', closed), letters('1|2', closed)];
  for await (const { event } of interleave(runs, { endsTurn: isTurnEnd, mayStart: () => mayStart })) {
    events.push(event);
    if (event === 'x') mayStart = false;
  }
  t.equal(events.join(''), 'a|x|by');
});
