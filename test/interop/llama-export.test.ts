/**
 * Exported Llamas as Python reads them: the configuration that transformers makes of them, their tensors, and the logits of
 * a forward pass in NumPy. Runs where APOLLO_PYTHON names a Python with numpy, safetensors and transformers; needs no torch.
 */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { writeHuggingFaceFolder } from '../../lib/interop/hugging-face-writer.js';
import { encodeSafetensors } from '../../lib/interop/safetensors.js';
import { createModel, type ModelConfig } from '../../lib/models/index.js';
import { loadModel } from '../../lib/train/index.js';
import { randomNetwork, specsOf, tinyConfig } from '../methods/networks.js';
import { openTinyDevice } from '../train/tiny.js';
import { logitsOf } from '../train/tiny-run.js';

const python = process.env['APOLLO_PYTHON'];
const skip = python ? false : 'APOLLO_PYTHON is not set (a Python with numpy, safetensors and transformers)';
const script = join(import.meta.dirname, '../../scripts/check-llama-export.py');

const [batch, seq] = [2, 24];
const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (7 * i * i + 3 * i + 1) % 13);
const sizes = { layers: 3, hidden: 24, heads: 6, ffn: 40, maxPositions: seq };
const llama3 = {
  type: 'llama3',
  factor: 8,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalPositions: 12,
} as const;
const variants: Readonly<Record<string, Partial<ModelConfig>>> = {
  plain: {},
  grouped: { keyValueHeads: 2, headSize: 8, tied: false, ropeTheta: 500 },
  biases: { keyValueHeads: 1, attentionBias: 'all', ffnBias: true, ropeScaling: { type: 'linear', factor: 3 } },
  qwen2: { keyValueHeads: 3, attentionBias: 'qkv', ropeScaling: llama3 },
  qwen3: { keyValueHeads: 2, queryKeyNorms: true, headSize: 8 },
  'qwen3 with biases': { queryKeyNorms: true, attentionBias: 'all', tied: false },
};

t.test('configuration, tensors and logits of exported models', { skip }, async (t) => {
  await using device = await openTinyDevice();
  const root = t.testdir();
  for (const [name, own] of Object.entries(variants)) {
    const config = tinyConfig('llama', { ...sizes, ...own });
    const { values } = randomNetwork(config, 4);
    const folder = join(root, name);
    const read = async (parameter: string) => values.get(parameter) as Float32Array;
    await writeHuggingFaceFolder(folder, { config, specs: specsOf(createModel(config)), read, shardBytes: 20_000 });
    const loaded = await loadModel(device, folder);
    t.same(loaded.config, config, name);
    const logits = await logitsOf(device, loaded, tokens, { batch, seq, padding: false });
    loaded.dispose();
    const answers = join(root, `${name}.safetensors`);
    await writeFile(
      answers,
      await encodeSafetensors([
        { name: 'tokens', dtype: 'I32', shape: [batch, seq], data: tokens },
        { name: 'logits', dtype: 'F32', shape: [batch * seq, 13], data: logits },
      ]),
    );
    const { status, stdout, stderr } = spawnSync(python as string, [script, folder, answers], { encoding: 'utf8' });
    t.equal(status, 0, stderr);
    t.comment(`${name}: ${stdout.trim()}`);
  }
});
