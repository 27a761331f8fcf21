import { request } from 'node:http';
import t from 'tap';
import { DashboardServer } from '../../../lib/cli/watch/dashboard.js';
import { Dashboard } from '../../../lib/report/dashboard/index.js';
import { startRecord, stepRecord } from '../../report/records.js';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

function ask(port: number, path: string, options: { host?: string; method?: string } = {}): Promise<Answer> {
  const { host = `127.0.0.1:${port}`, method = 'GET' } = options;
  return new Promise((done, failed) => {
    const sent = request({ host: '127.0.0.1', port, path, method, headers: { host }, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.once('end', () => done({ status: response.statusCode!, headers: response.headers, body }));
    });
    sent.on('error', failed).end();
  });
}

/** The messages of a stream so far, and a promise of the first that fits. */
function listen(port: number) {
  const messages: { event: string; data: any }[] = [];
  const waiting = new Set<() => void>();
  let ended = false;
  const sent = request({ host: '127.0.0.1', port, path: '/events', agent: false }, (response) => {
    let rest = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop()!;
      for (const block of blocks) {
        const match = /^event: (\w+)\ndata: (.*)$/.exec(block);
        if (match) messages.push({ event: match[1]!, data: JSON.parse(match[2]!) });
      }
      for (const look of waiting) look();
    });
    response.on('close', () => {
      ended = true;
      for (const look of waiting) look();
    });
  });
  sent.on('error', () => {}).end();
  const until = (holds: () => boolean) =>
    new Promise<void>((done) => {
      const look = () => {
        if (!holds()) return;
        waiting.delete(look);
        done();
      };
      waiting.add(look);
      look();
    });
  return {
    messages,
    first: async (fits: (message: { event: string; data: any }) => boolean) => {
      await until(() => messages.some(fits));
      return messages.find(fits)!;
    },
    end: () => until(() => ended),
    leave: () => sent.destroy(),
  };
}

t.test('the page and its files come with a policy that lets nothing else in', async (t) => {
  const server = await DashboardServer.open(new Dashboard({ title: 'x' }), [0]);
  t.teardown(() => server.close());
  const page = await ask(server.port, '/?x=1');
  t.equal(page.status, 200);
  t.match(page.headers, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': /default-src 'none'; script-src 'self';/,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  });
  const linked = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
  t.same(linked, ['data:,', '/style.css', '/echarts.js', '/main.js'], 'nothing from outside');
  for (const path of ['/style.css', '/echarts.js', '/main.js', '/charts.js', '/state.js']) {
    const file = await ask(server.port, path);
    t.equal(file.status, 200, path);
    t.match(file.headers['content-type'], path.endsWith('.css') ? /^text\/css/ : /^text\/javascript/);
    t.ok(file.body.length > 500);
  }
  const scripts = (await ask(server.port, '/main.js')).body.matchAll(/from '\.(\/\w+\.js)'/g);
  for (const [, path = ''] of scripts) t.equal((await ask(server.port, path)).status, 200, path);
});

t.test('only loopback names, known paths and GET are answered', async (t) => {
  const server = await DashboardServer.open(new Dashboard({ title: 'x' }), [0]);
  t.teardown(() => server.close());
  const { port } = server;
  t.match(server.url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
  for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', '[::1]:8888', 'LOCALHOST:1']) {
    t.equal((await ask(port, '/', { host })).status, 200, host);
  }
  for (const host of [
    'evil.example',
    `evil.example:${port}`,
    'localhost.evil.example',
    '127.0.0.1.nip.io',
    '192.168.1.7',
  ]) {
    t.equal((await ask(port, '/', { host })).status, 403, host);
    t.equal((await ask(port, '/events', { host })).status, 403, host);
  }
  for (const path of ['/package.json', '/../package.json', '/main.ts', '//', '/%2e%2e/x']) {
    t.equal((await ask(port, path)).status, 404, path);
  }
  for (const method of ['POST', 'PUT', 'OPTIONS', 'DELETE'])
    t.equal((await ask(port, '/', { method })).status, 405, method);
});

t.test('a page hears everything first, then what changes, then the end', async (t) => {
  const dashboard = new Dashboard({ title: 'x' });
  dashboard.add(startRecord(0));
  dashboard.add(stepRecord(1));
  const server = await DashboardServer.open(dashboard, [0]);
  const early = listen(server.port);
  const snapshot = await early.first(({ event }) => event === 'snapshot');
  t.match(snapshot.data, { state: 'running', runs: [{ points: { from: 0, rows: [[1]] } }] });
  dashboard.add(stepRecord(2));
  server.changed();
  t.match(await early.first(({ event }) => event === 'update'), { data: { runs: [{ id: 'apollo-1' }] } });
  const late = listen(server.port);
  t.match(await late.first(({ event }) => event === 'snapshot'), {
    data: { runs: [{ points: { rows: [[1], [2]] } }] },
  });
  dashboard.end('finished');
  await server.close();
  for (const page of [early, late]) {
    await page.first(({ event, data }) => event === 'update' && data.state === 'finished');
    await page.end();
  }
});

t.test('a page that leaves does not keep the server', async (t) => {
  const server = await DashboardServer.open(new Dashboard({ title: 'x' }), [0]);
  const page = listen(server.port);
  await page.first(({ event }) => event === 'snapshot');
  page.leave();
  await page.end();
  const { port } = server;
  server.flush();
  await server.close();
  await t.rejects(ask(port, '/'), { code: 'ECONNREFUSED' });
});

t.test('a port that is taken is an error, or the next one is tried', async (t) => {
  const first = await DashboardServer.open(new Dashboard({ title: 'x' }), [0]);
  t.teardown(() => first.close());
  await t.rejects(DashboardServer.open(new Dashboard({ title: 'x' }), [first.port]), {
    code: 'BAD_CONFIG',
    message: `--dashboard: port ${first.port} is in use. Name another port, or none for one that is free.`,
  });
  const second = await DashboardServer.open(new Dashboard({ title: 'x' }), [first.port, 0]);
  t.teardown(() => second.close());
  t.not(second.port, first.port);
});
