/** The dashboard in a browser: a run that is watched, stopped, resumed and watched to its end. */
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../../lib/cli/run.js';
import { Browser, findChromium, type Page } from '../../browser.js';
import { engineMissing, type MemoryIo, memoryIo, temporaryFolder } from '../support.js';
import { tinyConfig } from '../tiny.js';

const { path: chromium, skip: chromiumMissing } = findChromium();
const skip = engineMissing() || chromiumMissing;

const state = "document.getElementById('state').textContent";
const tile = (label: string) =>
  `[...document.querySelectorAll('.tile')].find((each) => each.firstChild.textContent === '${label}').children[1].textContent`;
const step = `Number(${tile('Step')}.replaceAll(',', ''))`;
/** Points of all series of a chart. */
const points = (id: string) =>
  `(echarts.getInstanceByDom(document.getElementById('${id}'))?.getOption().series ?? []).reduce((sum, each) => sum + each.data.length, 0)`;
const charts = ['loss-flops', 'loss-time', 'depth', 'throughput', 'memory', 'rate'];

/** A command in progress: its terminal, its exit code, and the dashboard's address. */
async function started(args: readonly string[]): Promise<{ io: MemoryIo; ended: Promise<number>; url: string }> {
  let told: (url: string) => void = () => {};
  const address = new Promise<string>((done) => {
    told = done;
  });
  const io = memoryIo({
    onWrite(written) {
      const url = /^dashboard: (\S+)/.exec(written)?.[1];
      if (url) told(url);
    },
  });
  const ended = run(args, io);
  const failed = ended.then((code) => Promise.reject(new Error(`ended with ${code}: ${io.err()}`)));
  failed.catch(() => {});
  return { io, ended, url: await Promise.race([address, failed]) };
}

/** What went wrong in the page, without the connections that a stopped server refuses. */
const faults = ({ errors }: Page) => errors.filter((error) => !/Failed to load resource: net::ERR_/.test(error));

t.test('a run in the browser', { skip }, async (t) => {
  const folder = temporaryFolder();
  const out = join(folder, 'run');
  // Longer than anybody waits: it is stopped from here.
  const config = tinyConfig(folder, { steps: 100_000, evaluateEvery: 20, checkpointEvery: 0 });
  const browser = await Browser.open(chromium);
  t.teardown(() => browser.close());
  const page = await browser.page();

  const first = await started(['train', '--config', config, '--method', 'apollo', '--out', out, '--dashboard']);
  await page.go(first.url);
  await page.until(`${state} === 'running' && ${step} > 0`);
  t.equal(await page.value('document.title.endsWith(document.getElementById("title").textContent)'), true);
  for (const id of charts) {
    await page.until(`${points(id)} > 0`);
    t.pass(`${id} has data`);
  }
  const seen = (await page.value(step)) as number;
  const shown = (await page.value(points('throughput'))) as number;
  await page.until(`${step} > ${seen} && ${points('throughput')} > ${shown}`);
  t.pass('values go on changing');
  await page.value("document.getElementById('show-training').click()");
  await page.value("document.getElementById('show-start').click()");
  t.same(page.errors, [], 'no errors in the console');

  first.io.interrupt();
  t.equal(await first.ended, 130);
  await page.until(`${state} === 'stopped'`);
  const last = (await page.value(step)) as number;
  t.ok(last > seen);
  t.ok((await page.value(points('loss-flops'))) > 0, 'the charts stay when the server is gone');

  const second = await started(['train', '--resume', '--out', out]);
  t.equal(second.url, first.url);
  await page.until(`${state} === 'running' && ${step} > ${last}`);
  t.match(await page.value(tile('Held-out loss')), /^\d\.\d{4}$/);
  const firstStep = `echarts.getInstanceByDom(document.getElementById('rate')).getOption().series[0].data[0][0]`;
  t.ok((await page.value(firstStep)) < last, 'with what was before the stop');
  second.io.interrupt();
  t.equal(await second.ended, 130);
  t.same(faults(page), []);
});

t.test('a comparison that has ended, on a dark page', { skip }, async (t) => {
  const folder = temporaryFolder();
  const args = ['compare', '--config', tinyConfig(folder), '--out', join(folder, 'both'), '--seeds', '2'];
  const { io, ended, url } = await started([...args, '--dashboard', '--dashboard-keep']);
  const browser = await Browser.open(chromium);
  t.teardown(() => browser.close());
  const page = await browser.page();
  await page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: 'dark' }] });
  await page.go(url);
  await page.until(`${state} === 'finished'`);
  t.equal(await page.value(tile('Progress')), '100 %');
  const methods = "[...document.querySelectorAll('#runs td:first-child')].map((each) => each.textContent)";
  t.same(await page.value(methods), ['scratch', 'apollo', 'scratch', 'apollo']);
  for (const id of charts) t.ok((await page.value(points(id))) > 0, id);
  t.equal(await page.value('getComputedStyle(document.body).backgroundColor'), 'rgb(20, 23, 28)');
  t.same(page.errors, []);
  io.interrupt();
  t.equal(await ended, 0);
  await page.until(`${state} === 'finished'`);
});
