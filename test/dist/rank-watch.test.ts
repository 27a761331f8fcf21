/** The first rank's connections to others: what is no rank is let go, and ends nothing. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import type { Group } from '../../lib/dist/group.js';
import { type EndedRank, watchRanks } from '../../lib/dist/rank-watch.js';

/** The first of two ranks; the other one comes when `meet` has had the meeting point. */
function firstOfTwo(meet: (meeting: { readonly port: number; readonly secret: string }) => Promise<void>): Group {
  let other = Promise.resolve();
  let sums = 0;
  return {
    rank: 0,
    size: 2,
    host: 'here',
    sum: async (values) => {
      if (sums++ === 0) return values; // of the work that makes the meeting point
      await other;
      return values.map((value, rank) => (rank === 1 ? 1 : value));
    },
    broadcast: async (text) => {
      other = meet(JSON.parse(text));
      return text;
    },
    close: async () => {},
  };
}

/** A connection of something else. */
function stranger(port: number) {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  return { socket, closed: new Promise((closed) => socket.on('close', closed)) };
}

t.test('lines that are no message, or too long, end their connection alone', async (t) => {
  const ended: EndedRank[] = [];
  const group = firstOfTwo(async ({ port }) => {
    for (const text of ['null\n', '1\n', 'GET / HTTP/1.1\n', '[]\n', '{"type":"done"}\n', 'x'.repeat(200_000)]) {
      const { socket, closed } = stranger(port);
      socket.write(text);
      socket.resume();
      await closed;
      t.pass(text.slice(0, 20));
    }
  });
  await watchRanks(group, (rank) => ended.push(rank));
  t.same(ended, []);
});

t.test('a connection without a greeting is closed after a while, or when all ranks have come', async (t) => {
  let late: Promise<unknown> | undefined;
  const group = firstOfTwo(async ({ port }) => {
    const silent = stranger(port);
    silent.socket.resume();
    await silent.closed;
    const another = stranger(port);
    another.socket.resume();
    await once(another.socket, 'connect');
    await setTimeout(100);
    late = another.closed;
  });
  const before = performance.now();
  await watchRanks(group, () => {});
  t.ok(performance.now() - before >= 2900, 'three seconds');
  await late;
  t.ok(performance.now() - before < 5500, 'at once, when nobody else is admitted');
});

t.test('a rank that has introduced itself stays, and its end is reported', async (t) => {
  const ended: EndedRank[] = [];
  let rank: ReturnType<typeof stranger>['socket'] | undefined;
  const group = firstOfTwo(async ({ port, secret }) => {
    rank = stranger(port).socket;
    rank.write(`${JSON.stringify({ type: 'hello', secret, rank: 1, host: 'there', pid: 7 })}\n`);
    t.match(String((await once(rank, 'data'))[0]), /"type":"welcome"/);
  });
  await watchRanks(group, (member) => ended.push(member));
  await setTimeout(100);
  t.notOk(rank?.destroyed);
  rank?.destroy();
  while (ended.length === 0) await setTimeout(20);
  t.same(ended, [{ rank: 1, host: 'there', pid: 7, how: 'lost' }]);
});
