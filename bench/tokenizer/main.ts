/**
 * npm run bench:tokenizer: speed of encoding (one thread, next to Python's tokenizers with APOLLO_PYTHON), and with
 * --train speed and memory of training a vocabulary.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import {
  createTokenizer,
  loadTokenizer,
  type Tokenizer,
  type TrainableKind,
  trainTokenizerOnText,
} from '../../lib/data/index.js';
import { type EncodeResult, encodeSpeed } from './encode.js';
import { textFiles, texts } from './text.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const command = new Command('bench:tokenizer')
  .description(
    'Times tokenizers on text. Without --tokenizer, those of the test fixtures: BERT, GPT-2, Llama 3, SmolLM, Qwen 2.',
  )
  .argument('[files...]', 'text files or folders, .txt or .txt.gz', [`${root}data/sample`])
  .option('--tokenizer <paths...>', 'tokenizer files or folders')
  .option('--rounds <n>', 'passes over the text', Number, 5)
  .option('--mb <n>', 'megabytes of text at most', Number)
  .addOption(new Option('--train <kind>', 'train a tokenizer on the text instead').choices(['bpe', 'wordpiece']))
  .option('--vocab-size <n>', 'tokens to train', Number, 30_000)
  .option('--workers <n>', 'threads that count words', Number, availableParallelism())
  .option('--out <file>', 'also write JSON to a file')
  .parse();
const o = command.opts<{
  tokenizer?: string[];
  rounds: number;
  mb?: number;
  train?: TrainableKind;
  vocabSize: number;
  workers: number;
  out?: string;
}>();

const files = textFiles(command.processedArgs[0] as string[]);
const python = process.env['APOLLO_PYTHON'];
const machine = { cpuName: cpus()[0]?.model, logicalCores: cpus().length, memoryBytes: totalmem() };
const about = {
  date: new Date().toISOString().slice(0, 10),
  node: process.version,
  machine,
};
const shown = (value: number): string => value.toFixed(2).padStart(7);

if (o.train === undefined) await benchEncoding();
else await benchTraining(o.train);

async function benchEncoding(): Promise<void> {
  const llamaShaped = ['llama-3', 'smollm', 'qwen-2'].map((name) => `llama/${name}.json.gz`);
  const defaults = ['bert-base-uncased', 'gpt2/tokenizer.json.gz', ...llamaShaped].map(
    (path) => `${root}test/fixtures/tokenizers/${path}`,
  );
  const results: (EncodeResult & { tokenizer: string; kind: Tokenizer['kind'] })[] = [];
  console.log(`${machine.cpuName}, node ${process.version}, one thread, ${o.rounds} rounds; MB/s of processor time`);
  console.log('(wall clock in brackets), median of the rounds');
  for (const path of o.tokenizer ?? defaults) {
    for (const file of files) {
      const tokenizer = loadTokenizer(path);
      const pieces: string[] = [];
      for await (const text of texts([file], (o.mb ?? 8) * 1e6)) pieces.push(text);
      const result = await encodeSpeed(tokenizer.definition, basename(file), pieces, o.rounds, python);
      const name = path.startsWith(root) ? path.slice(root.length) : basename(path);
      results.push({
        tokenizer: name,
        kind: tokenizer.kind,
        ...result,
      });
      const figure = (name: string, { perCpuSecond, perWallSecond }: EncodeResult['encode']): string =>
        `  ${name}${shown(perCpuSecond.median)} (${perWallSecond.median.toFixed(2)})`;
      console.log(
        `${shortName(name).padEnd(20)}${basename(file).padEnd(36)}` +
          figure('encode', result.encode) +
          (result.encodeWithOffsets ? figure('with offsets', result.encodeWithOffsets) : '') +
          (result.python ? figure(`Python ${result.python.version}`, result.python) : '') +
          (result.python ? (result.python.sameIds ? '  same ids' : '  OTHER IDS') : ''),
      );
    }
  }
  save({ ...about, rounds: o.rounds, results });
  if (results.some(({ python }) => python && !python.sameIds)) process.exitCode = 1;
}

/** The last part of a path that names a tokenizer. */
function shortName(path: string): string {
  return basename(path.replace(/\/tokenizer\.json(\.gz)?$/, '')).replace(/\.json(\.gz)?$/, '');
}

async function benchTraining(kind: TrainableKind): Promise<void> {
  let bytes = 0;
  let peak = 0;
  let countSeconds = 0;
  const start = performance.now();
  const sample = (): void => {
    peak = Math.max(peak, process.memoryUsage.rss());
  };
  const timer = setInterval(sample, 100);
  async function* counted(): AsyncGenerator<string> {
    for await (const text of texts(files, o.mb === undefined ? undefined : o.mb * 1e6)) {
      bytes += Buffer.byteLength(text);
      yield text;
    }
  }
  let peakWhileCounting = 0;
  const trained = await trainTokenizerOnText(counted(), {
    kind,
    vocabSize: o.vocabSize,
    workers: o.workers,
    onProgress({ phase, done, distinctWords }) {
      sample();
      if (phase === 'count words') {
        countSeconds = (performance.now() - start) / 1e3;
        peakWhileCounting = peak;
      }
      if (process.stderr.isTTY) process.stderr.write(`\r${phase}: ${done}, ${distinctWords} distinct words   `);
    },
  });
  clearInterval(timer);
  const seconds = (performance.now() - start) / 1e3;
  const { user, system } = process.cpuUsage();
  const { definition, ...stats } = trained;
  const { digest } = createTokenizer(definition);
  const result = {
    kind,
    vocabSize: o.vocabSize,
    workers: o.workers,
    bytes,
    ...stats,
    seconds: { count: countSeconds, merge: seconds - countSeconds, total: seconds, cpu: (user + system) / 1e6 },
    peakBytes: { counting: peakWhileCounting, all: peak },
    digest,
  };
  const minutes = (size: number): number => ((size / bytes) * countSeconds + seconds - countSeconds) / 60;
  console.log(`${kind} of ${o.vocabSize} tokens from ${(bytes / 1e6).toFixed(1)} MB, ${o.workers} workers`);
  console.log(
    `counted in ${countSeconds.toFixed(1)} s (${(bytes / 1e6 / countSeconds).toFixed(2)} MB/s), merged in ` +
      `${(seconds - countSeconds).toFixed(1)} s; ${result.seconds.cpu.toFixed(1)} s of processor time`,
  );
  console.log(
    `${stats.words} words, ${stats.distinctWords} distinct, undercount ${stats.undercount}; peak memory ` +
      `${(peakWhileCounting / 1e6).toFixed(0)} MB while counting, ${(peak / 1e6).toFixed(0)} MB in all`,
  );
  if (bytes < 1e9) {
    console.log(`extrapolated, not measured: 1 GB in about ${minutes(1e9).toFixed(1)} min (counting in proportion)`);
  }
  save({ ...about, result });
}

function save(result: object): void {
  if (o.out !== undefined) writeFileSync(o.out, `${JSON.stringify(result, null, 2)}\n`);
}
