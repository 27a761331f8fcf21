/** `read-files.ts REQUEST`: reads damaged files one after the other and prints a JSON line per file. See files.ts. */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareCorpus } from '../../lib/data/index.js';
import { loadTokenizer } from '../../lib/data/tokenizer.js';
import { openDevice, ParameterStore } from '../../lib/engine/index.js';
import { ApolloError } from '../../lib/errors.js';
import { createModel } from '../../lib/models/index.js';
import { loadCheckpoint, loadModel, modelConfigOf, readCheckpointState } from '../../lib/train/index.js';

interface Request {
  readonly reader: 'model' | 'corpus' | 'checkpoint' | 'tokenizer';
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

const readers = {
  async model() {
    const loaded = await loadModel(device, place);
    loaded.dispose();
    loadTokenizer(place).encode('the red sun');
  },
  async corpus() {
    const cacheDir = join(place, '.cache');
    const corpus = await prepareCorpus({ inputs: [join(place, file)], tokenizer, cacheDir, heldOut: 0.1 });
    corpus.close();
    rmSync(cacheDir, { recursive: true });
  },
  async checkpoint() {
    const state = await readCheckpointState(place);
    const store = new ParameterStore(device, { precision: 'f32' });
    try {
      await loadCheckpoint(place, store, createModel(modelConfigOf(state)).parameters(state.stage.units));
    } finally {
      store.dispose();
    }
  },
  async tokenizer() {
    loadTokenizer(join(place, file)).encode('the red sun');
  },
};

cpSync(folder, place, { recursive: true });
mkdirSync(place, { recursive: true });
for (let index = 0; index < amount; index++) {
  copyFileSync(join(damaged, String(index)), join(place, file));
  let line: object = { index, outcome: 'right' };
  try {
    await readers[reader]();
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
