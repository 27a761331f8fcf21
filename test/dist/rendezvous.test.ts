/** How ranks without MPI meet: with processes of their own, and what each of them says when they do not. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { meetingPoint, textOfFirst } from '../../lib/dist/rendezvous.js';
import { freePort, startProcess, torchrunEnv } from './mpirun.js';

const child = fileURLToPath(new URL('./rendezvous-child.ts', import.meta.url));

/** Starts ranks; what each of them has printed. */
async function meet(
  ranks: readonly { readonly rank: number; readonly size: number; readonly env?: NodeJS.ProcessEnv }[],
  port: number,
) {
  const all = ranks.map(({ rank, size, env }) => startProcess(child, [], { ...torchrunEnv(rank, size, port), ...env }));
  return Promise.all(all.map(async ({ ended }) => (await ended).out.trim()));
}

const seconds = (count: number) => ({ APOLLO_GROUP_TIMEOUT: String(count) });

t.test('all ranks get the text of the first, whichever comes first', async (t) => {
  const size = 4;
  const ranks = [3, 1, 2, 0].map((rank) => ({ rank, size, env: { DELAY_MS: String(rank === 0 ? 500 : 0) } }));
  t.same(
    await meet(ranks, await freePort()),
    Array.from({ length: size }, () => 'TEXT of 4 ranks'),
  );
});

t.test('a rank that does not come', async (t) => {
  const [first, other] = await meet(
    [
      { rank: 0, size: 3, env: seconds(10) },
      { rank: 2, size: 3, env: seconds(60) },
    ],
    await freePort(),
  );
  t.match(first, /^NO_GROUP 1 of 3 ranks did not connect to 127\.0\.0\.1:\d+ within 10 s: 1\. Check the output/);
  t.match(other, /^RANK_FAILED Rank 0 has failed/);
});

t.test('nobody listens: another port, or no rank 0', async (t) => {
  const [line] = await meet([{ rank: 1, size: 2, env: seconds(1) }], await freePort());
  t.match(
    line,
    /^NO_GROUP Rank 1 of 2 got no answer from rank 0 at 127\.0\.0\.1:\d+ within 1 s \(ECONNREFUSED\)\. Check that/,
  );
});

t.test('another program listens', async (t) => {
  const web = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
  const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await Promise.all([once(web, 'listening'), once(silent, 'listening')]);
  const portOf = (server: typeof web) => (server.address() as { port: number }).port;
  const [told] = await meet([{ rank: 1, size: 2, env: seconds(20) }], portOf(web));
  t.match(told, /^NO_GROUP Rank 1: the program that answers at 127\.0\.0\.1:\d+ is not rank 0 of apollo-lm/);
  const [waited] = await meet([{ rank: 1, size: 2, env: seconds(1) }], portOf(silent));
  t.match(waited, /^NO_GROUP .* within 1 s \(connected, without an answer\)/);
  const [first] = await meet([{ rank: 0, size: 2, env: seconds(20) }], portOf(web));
  t.match(first, /^NO_GROUP Rank 0 cannot listen at port \d+: another program, perhaps another group of ranks, uses/);
  web.close();
  silent.close();
});

/** Waits until somebody listens at a port. */
async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const found = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'close').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (found) return;
    await setTimeout(50);
  }
}

t.test('two groups at one port: one of them trains, the other gets an error', async (t) => {
  const port = await freePort();
  const rankOfJob = (job: string, rank: number) => ({
    rank,
    size: 2,
    env: { ...seconds(60), TORCHELASTIC_RUN_ID: job },
  });
  const first = meet([rankOfJob('a', 0)], port);
  await listening(port);
  const second = await meet([rankOfJob('b', 0), rankOfJob('b', 1)], port);
  t.match(second[0], /^NO_GROUP Rank 0 cannot listen at port/);
  t.match(
    second[1],
    /^NO_GROUP Rank 1: 127\.0\.0\.1:\d+ belongs to another group, of 2 ranks; choose another MASTER_PORT/,
  );
  t.same(await meet([rankOfJob('a', 1)], port), ['TEXT of 2 ranks']);
  t.same(await first, ['TEXT of 2 ranks']);
});

t.test('two groups that nothing tells apart', async (t) => {
  const port = await freePort();
  const env = seconds(20);
  const [first, one, two] = await meet(
    [0, 1, 1].map((rank) => ({ rank, size: 3, env })),
    port,
  );
  t.match(first, /^NO_GROUP Rank 1 of 3 connected to 127\.0\.0\.1:\d+ twice: two groups use this port/);
  for (const line of [one, two]) t.match(line, /^RANK_FAILED /);
});

t.test('a rank that never takes the answer', async (t) => {
  const port = await freePort();
  const first = meet([{ rank: 0, size: 2, env: seconds(8) }], port);
  await listening(port);
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {});
  socket.write(`${JSON.stringify({ apolloLm: 1, rank: 1, size: 2, job: '   ' })}\n`);
  t.match((await first)[0], /^NO_GROUP 1 of 2 ranks connected, but did not take the answer of rank 0 within 8 s: 1\./);
  socket.destroy();
});

t.test('where the ranks meet', async (t) => {
  const torchrun = { MASTER_ADDR: 'a.b', MASTER_PORT: '29500' };
  t.same(meetingPoint(torchrun), { host: 'a.b', port: 29_500 });
  const agent = { ...torchrun, TORCHELASTIC_USE_AGENT_STORE: 'True' };
  t.same(meetingPoint(agent), { host: 'a.b', port: 29_501 }, 'torchrun keeps its port');
  t.same(meetingPoint({ ...agent, APOLLO_MASTER: '[::1]:700' }), { host: '::1', port: 700 });
  for (const [env, message] of [
    [{}, /MASTER_ADDR and MASTER_PORT must be set/],
    [{ MASTER_ADDR: 'a' }, /no address to connect to: MASTER_PORT must be set/],
    [{ ...torchrun, MASTER_PORT: '70000' }, /MASTER_PORT must hold a port from 1 to 65535; got "70000"/],
    [{ ...agent, MASTER_PORT: '65535' }, /from 1 to 65534/],
    [{ APOLLO_MASTER: 'a' }, /APOLLO_MASTER must be HOST:PORT; got "a"/],
  ] as const) {
    t.throws(() => meetingPoint(env), { code: 'BAD_CONFIG', message });
  }
  await t.rejects(
    textOfFirst({ rank: 1, size: 2 }, { ...torchrun, APOLLO_GROUP_TIMEOUT: 'x' }, () => ''),
    {
      message: /APOLLO_GROUP_TIMEOUT must be seconds, above 0; got "x"/,
    },
  );
});
