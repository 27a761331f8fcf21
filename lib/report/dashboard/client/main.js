/** The page: listens to the server, shows its data, and keeps polling when the server is gone. */
import { chartOptions } from './charts.js';
import { colorsOf, nothing, received } from './state.js';

/* global echarts */

/** Milliseconds before a server that ended, or never answered, is asked again. */
const retryMs = 3000;

const element = (id) => document.getElementById(id);
const charts = new Map();
let state = nothing;
/** Whether the server can be heard. */
let connected = false;

function listen() {
  const source = new EventSource('/events');
  const take = (kind) => (event) => {
    connected = true;
    state = received(state, kind, JSON.parse(event.data));
    draw();
  };
  source.addEventListener('snapshot', take('snapshot'));
  source.addEventListener('update', take('update'));
  source.addEventListener('error', () => {
    // A new source instead of the browser's own retry: not every browser retries when a connection is refused.
    source.close();
    connected = false;
    draw();
    setTimeout(listen, retryMs);
  });
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const series = [];
  for (let index = 0; color(`series-${index}`) !== ''; index++) series.push(color(`series-${index}`));
  const names = ['card', 'ink', 'soft', 'line', 'reference'];
  const font = getComputedStyle(document.body).fontFamily;
  return { ...Object.fromEntries(names.map((name) => [name, color(name)])), series, font };
}

function draw() {
  const { view } = state;
  showState(view);
  if (!view || document.hidden) return;
  document.title = `${Math.floor(100 * view.done)} % ${view.title}`;
  element('title').textContent = view.title;
  element('about').textContent = view.about;
  element('message').textContent = view.message;
  element('message').hidden = view.message === '';
  element('message').className = view.state === 'failed' ? 'bad' : '';
  element('done').value = view.done;
  element('tiles').replaceChildren(...view.tiles.map(tile));
  const colors = theme();
  element('runs').replaceChildren(runTable(view, colors));
  const choices = { training: element('show-training').checked, start: element('show-start').checked };
  for (const [id, option] of Object.entries(chartOptions(state, colors, choices))) {
    chartAt(id).setOption(option, { replaceMerge: ['series'] });
  }
}

/** The badge: the run's state, or that the server cannot be heard while there is more to come. */
function showState(view) {
  const ended = view && ['finished', 'stopped', 'failed'].includes(view.state);
  const shown = connected || ended ? (view?.state ?? 'connecting') : view ? 'lost' : 'connecting';
  const badge = element('state');
  badge.textContent = shown === 'lost' ? 'connection lost, trying again' : shown;
  badge.className = `badge ${shown}`;
}

function chartAt(id) {
  const known = charts.get(id);
  if (known) return known;
  const chart = echarts.init(element(id), null, { renderer: 'canvas' });
  charts.set(id, chart);
  return chart;
}

function made(tag, text = '', className = '') {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}

function tile({ label, value, note }) {
  const node = made('div', '', 'tile');
  node.append(made('span', label), made('b', value), made('span', note));
  return node;
}

function runTable({ columns }, colors) {
  const places = colorsOf(state);
  const head = made('tr');
  head.append(...columns.map((column) => made('th', column)));
  const rows = [...state.runs.values()].map(({ method, row }) => {
    const place = places.get(method);
    const swatch = made('i');
    swatch.style.background = place === -1 ? colors.reference : colors.series[place % colors.series.length];
    const line = made('tr');
    line.append(...row.map((cell) => made('td', cell)));
    line.firstChild.prepend(swatch);
    return line;
  });
  const table = made('table');
  table.append(head, ...rows);
  return table;
}

for (const id of ['show-training', 'show-start']) element(id).addEventListener('change', draw);
document.addEventListener('visibilitychange', draw);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
addEventListener('resize', () => {
  for (const chart of charts.values()) chart.resize();
});
listen();
