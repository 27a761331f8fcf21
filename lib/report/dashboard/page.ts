/** The dashboard's page: its HTML, its style, and the files that a browser may ask for. Nothing comes from outside. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chartLibrary } from '../chart-library.js';
import { themeStyle } from '../theme.js';

export interface PageFile {
  readonly contentType: string;
  readonly read: () => Promise<string | Buffer>;
}

/** Nothing but this page's own files; echarts sets styles on the elements of its tooltips. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "style-src-attr 'unsafe-inline'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const script = 'text/javascript; charset=utf-8';
const clientFolder = fileURLToPath(new URL('./client/', import.meta.url));
const client = (name: string): [string, PageFile] => [
  `/${name}`,
  { contentType: script, read: () => readFile(join(clientFolder, name)) },
];

/** By path. */
export const pageFiles: ReadonlyMap<string, PageFile> = new Map<string, PageFile>([
  ['/', { contentType: 'text/html; charset=utf-8', read: async () => html }],
  ['/style.css', { contentType: 'text/css; charset=utf-8', read: async () => themeStyle() + style }],
  ['/echarts.js', { contentType: script, read: () => readFile(chartLibrary()) }],
  client('main.js'),
  client('charts.js'),
  client('state.js'),
]);

/** id, title and note of each chart. */
const charts = [
  ['loss-flops', 'Loss against FLOPs', 'thick: held out; thin: training, running mean; diamonds: growth'],
  ['loss-time', 'Loss against time', 'the same against the time of the training steps'],
  ['depth', 'Depths', 'of the current stage’s steps'],
  ['throughput', 'Throughput', 'tokens per second'],
  ['memory', 'Memory', 'dashed: the device'],
  ['rate', 'Learning rate', 'by step'],
] as const;

const figures = charts.map(
  ([id, title, note]) =>
    `<figure><figcaption><b>${title}</b> <span>${note}</span></figcaption><div class="chart" id="${id}"></div></figure>`,
);

const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>apollo-lm</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<header>
<h1 id="title">apollo-lm</h1><span id="state" class="badge">connecting</span>
<p id="about"></p>
<p id="message" hidden></p>
<progress id="done" max="1" value="0" aria-label="share done"></progress>
</header>
<section id="tiles"></section>
<nav><label><input type="checkbox" id="show-training" checked> training loss</label>
<label><input type="checkbox" id="show-start"> loss from the first step on</label></nav>
<section id="charts">
${figures.join('\n')}
</section>
<div id="runs"></div>
</main>
<script src="/echarts.js"></script>
<script type="module" src="/main.js"></script>
</body>
</html>
`;

const style = `
* { box-sizing: border-box }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 }
main { max-width: 92rem; margin: 0 auto; padding: 1rem 1.25rem 2rem }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .15rem .75rem }
h1 { font-size: 1.3rem; margin: 0 }
header p { flex-basis: 100%; margin: 0; color: var(--soft) }
header #message { color: var(--warn) } header #message.bad { color: var(--bad) }
.badge { padding: .05rem .6rem; border-radius: 1rem; border: 1px solid currentColor; color: var(--soft); font-size: .85rem }
.badge.running, .badge.finished { color: var(--good) } .badge.stopped, .badge.lost { color: var(--warn) }
.badge.failed { color: var(--bad) }
progress { flex-basis: 100%; width: 100%; height: .35rem; margin-top: .5rem; appearance: none; border: 0; border-radius: 1rem;
  overflow: hidden; background: var(--line); color: var(--good) }
progress::-webkit-progress-bar { background: var(--line) } progress::-webkit-progress-value { background: var(--good) }
progress::-moz-progress-bar { background: var(--good) }
#tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; margin: .9rem 0 }
.tile, figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem }
.tile { padding: .5rem .7rem } .tile b { display: block; font-size: 1.2rem; font-variant-numeric: tabular-nums; white-space: nowrap }
.tile span { display: block; color: var(--soft); font-size: .8rem }
nav { display: flex; gap: 1.25rem; margin: 0 0 .6rem; color: var(--soft) } nav label { cursor: pointer }
nav input { vertical-align: -1px; margin: 0 .15rem 0 0; accent-color: var(--series-0) }
#charts { display: grid; grid-template-columns: repeat(4, 1fr); gap: .8rem }
figure { margin: 0; padding: .6rem .7rem .2rem; min-width: 0 }
figure:nth-child(-n + 2) { grid-column: span 2 }
figcaption span { color: var(--soft); font-size: .85rem }
.chart { height: 240px } figure:nth-child(-n + 2) .chart { height: 330px }
#runs { overflow-x: auto; margin-top: .9rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--soft); font-weight: normal; font-size: .85rem }
th:first-child, td:first-child { text-align: left }
tr:last-child td { border-bottom: 0 }
td i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .5rem; vertical-align: -1px }
@media (min-width: 85rem) { #tiles { grid-template-columns: repeat(8, 1fr) } }
@media (max-width: 70rem) { #charts { grid-template-columns: 1fr 1fr } }
@media (max-width: 45rem) { #tiles { grid-template-columns: 1fr 1fr } #charts { grid-template-columns: 1fr }
  #charts figure { grid-column: auto } }
`;
