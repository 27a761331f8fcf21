/** `read-files.ts REQUEST`: reads damaged files one after the other and prints a JSON line per file. See files.ts. */
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareCorpus } from '../../lib/data/index.js';
import { loadTokenizer } from '../../lib/data/tokenizer/tokenizer.js';
import { openDevice, ParameterStore } from '../../lib/engine/index.js';
import { ApolloError } from '../../lib/errors.js';
import { createModel } from '../../lib/models/index.js';
import { loadCheckpoint, loadModel, modelConfigOf, readCheckpointState } from '../../lib/train/index.js';
import { cachedCorpus } from './files.js';

interface Request {
  readonly reader: 'model' | 'corpus' | 'cache' | 'checkpoint' | 'tokenizer';
  readonly folder: string;
  readonly file: string;
  readonly damaged: string;
  readonly amount: number;
}

const { reader, folder, file, damaged, amount } = JSON.parse(
  readFileSync(process.argv[2] as string, 'utf8'),
) as Request;
const device = await openDevice({ threads: 1 });
const place = mkdtempSync(join(tmpdir(), 'apollo-faults-'));
const tokenizer = { train: 'bpe', vocabSize: 280 } as const;

/** Each reads the damaged file and says what is wrong with the result, where it can know. */
const readers: Record<Request['reader'], () => Promise<unknown>> = {
  async model() {
    const loaded = await loadModel(device, place);
    loaded.dispose();
    loadTokenizer(place).encode('the red sun');
  },
  async corpus() {
    const cacheDir = join(place, '.cache');
    const corpus = await prepareCorpus({ inputs: [join(place, file)], tokenizer, cacheDir, heldOut: 0 });
    corpus.close();
    rmSync(cacheDir, { recursive: true });
  },
  async cache() {
    const got = await tokensOf(place);
    // What is damaged is made again, so that the next file needs a whole cache.
    rmSync(join(place, '.cache'), { recursive: true });
    cpSync(join(folder, '.cache'), join(place, '.cache'), { recursive: true });
    return got === expected ? undefined : 'other tokens than those of the undamaged cache';
  },
  async checkpoint() {
    const state = await readCheckpointState(place);
    const store = new ParameterStore(device, { precision: 'f32' });
    try {
      await loadCheckpoint(place, store, createModel(modelConfigOf(state)).parameters(state.stage.trainedLayers));
    } finally {
      store.dispose();
    }
  },
  async tokenizer() {
    loadTokenizer(file === 'tokenizer.json' ? join(place, file) : place).encode('the red sun');
  },
};

/** Digest of the tokens of a folder with a cache. */
async function tokensOf(folder: string): Promise<string> {
  const corpus = await prepareCorpus(cachedCorpus(folder));
  try {
    const hash = createHash('sha256');
    for (const part of [corpus.train, corpus.heldOut]) hash.update(part.read(0, part.tokenCount));
    return hash.digest('hex');
  } finally {
    corpus.close();
  }
}
const expected = reader === 'cache' ? await tokensOf(folder) : undefined;

cpSync(folder, place, { recursive: true });
for (let index = -1; index < amount; index++) {
  // First as it is: what cannot be read undamaged would show nothing.
  copyFileSync(index < 0 ? join(folder, file) : join(damaged, String(index)), join(place, file));
  let line: object = { index, outcome: 'right' };
  try {
    const wrong = await readers[reader]();
    if (typeof wrong === 'string') line = { index, outcome: 'wrong', message: wrong };
  } catch (error) {
    const { message, stack } = error as Error;
    line =
      error instanceof ApolloError && error.code !== 'INTERNAL'
        ? { index, outcome: 'refused', message }
        : { index, outcome: 'crash', message: stack ?? message };
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
await device.close();
rmSync(place, { recursive: true });
