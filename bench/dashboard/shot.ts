/**
 * node scripts/ts.mjs bench/dashboard/shot.ts: makes docs/dashboard.png, the dashboard of a short comparison in the middle of
 * its run. Needs Chromium (APOLLO_CHROMIUM, or on the PATH); takes a few minutes.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { Browser, findChromium } from '../../test/browser.js';
import { indexedPng } from './indexed-png.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const command = new Command('bench/dashboard/shot.ts')
  .option('--out <file>', 'the picture', join(root, 'docs/dashboard.png'))
  .option('--steps <n>', 'optimizer steps of a run', '2000')
  .option('--at <share>', 'share of the comparison that is done when the picture is taken', '0.5')
  .option('--dark', 'as a browser that prefers dark pages')
  .parse();
const { out, steps, at, dark } = command.opts<{ out: string; steps: string; at: string; dark?: boolean }>();

const { path: chromium, skip } = findChromium();
if (skip) throw new Error(skip);

const work = mkdtempSync(join(tmpdir(), 'apollo-shot-'));
const config = join(work, 'shot.json');
writeFileSync(
  config,
  JSON.stringify({
    // Short sequences, with which BERT leaves its early plateau within the picture (docs/results.md).
    model: {
      preset: 'bert-nano',
      layers: 8,
      hidden: 64,
      heads: 4,
      ffn: 256,
      maxPositions: 16,
      dropout: 0,
      initStd: 0.05,
    },
    vocabSize: 1000,
    data: [join(root, 'data/sample')],
    methods: ['scratch', 'apollo', 'stackbert'],
    // Boundaries so that the picture shows a stage whose depths are sampled.
    methodOptions: { apollo: { stageLayers: [2, 4, 8], boundaries: { fractions: [0.15, 0.65] }, moments: 'reset' } },
    steps: Number(steps),
    evaluateEvery: Math.ceil(Number(steps) / 40),
    evaluationBatches: 2,
    batch: 64,
    learningRate: 2e-3,
    threads: 1,
  }),
);
const child = spawn(
  process.execPath,
  [join(root, 'dist/cli/main.js'), 'compare', '--config', config, '--out', 'runs/books', '--dashboard'],
  { cwd: work, stdio: ['ignore', 'inherit', 'pipe'] },
);
const ended = new Promise((done) => child.once('exit', done));
const browser = await Browser.open(chromium);
try {
  const url = await addressOf();
  const page = await browser.page({ width: 1280, height: 900 });
  const scheme = { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' };
  await page.send('Emulation.setEmulatedMedia', { features: [scheme] });
  await page.go(url);
  const running = "document.getElementById('state').textContent === 'running'";
  await page.until(`${running} && document.getElementById('done').value >= ${Number(at)}`);
  const picture = await smaller(await page.picture());
  if (page.errors.length > 0) throw new Error(page.errors.join('\n'));
  writeFileSync(out, picture);
  console.log(`${relative('', out)}: ${picture.length} bytes`);
} finally {
  await browser.close();
  child.kill('SIGINT');
  await ended;
  rmSync(work, { recursive: true });
}

/** The picture with few colours. */
async function smaller(png: Buffer): Promise<Buffer> {
  const reader = await browser.page();
  const { width, height, pixels } = await reader.value(`(async () => {
    const image = new Image();
    image.src = 'data:image/png;base64,${png.toString('base64')}';
    await image.decode();
    const { width, height } = image;
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    let pixels = '';
    for (let at = 0; at < data.length; at += 32768) pixels += String.fromCharCode(...data.subarray(at, at + 32768));
    return { width, height, pixels: btoa(pixels) };
  })()`);
  return indexedPng(Buffer.from(pixels, 'base64'), width, height);
}

/** Where the command says its dashboard is. */
function addressOf(): Promise<string> {
  return new Promise((done, failed) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      process.stderr.write(text);
      const url = /dashboard: (\S+)/.exec(text)?.[1];
      if (url) done(url);
    });
    child.once('exit', (code) => failed(new Error(`compare ended with ${code}`)));
  });
}
