/**
 * The Llama in PyTorch that a step is timed against is the model that is trained here: it reproduces the golden files of
 * LlamaForCausalLM. Runs where a Python with torch and safetensors is found.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { findPeerPython } from '../../bench/step/peer.js';

const python = findPeerPython(['torch', 'safetensors']);
const skip = python ? false : 'needs a Python with torch and safetensors (set APOLLO_PEER_PYTHON)';
const names = ['llama-ref-a', 'llama-ref-b'];

/** f32 sums in another order. */
const tolerance = 1e-4;

t.test('the plain PyTorch Llama gives the golden logits, losses and gradients', { skip }, async (t) => {
  const folders = names.map((name) => join(import.meta.dirname, '../fixtures/golden', name));
  const script = join(import.meta.dirname, 'torch_llama_golden.py');
  const { stdout, stderr } = spawnSync(python as string, [script, ...folders], { encoding: 'utf8' });
  const results = stdout
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.same(
    results.map(({ folder }) => folder),
    names,
    stderr,
  );
  for (const { folder, ...errors } of results) {
    for (const [part, error] of Object.entries(errors))
      t.ok((error as number) <= tolerance, `${folder}, ${part}: ${error}`);
  }
});
