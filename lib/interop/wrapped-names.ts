/**
 * Names of tensors as wrappers around a model leave them: DataParallel and DistributedDataParallel put `module.` in
 * front, torch.compile `_orig_mod.`, Lightning and many training scripts `model.`; some do so in the middle of a name,
 * around a part of the model. No tensor of BERT or GPT-2 has such a part in its own name, so they are taken off; so is
 * the `model.` in front of Llama's, without which its tensors are known as those of a bare model.
 */
import type { TensorReader } from './sharded-safetensors.js';

/** Parts of names that stand for a wrapper and not for a part of the model. */
const wrappers = new Set([
  'module',
  '_orig_mod',
  'model',
  '_fsdp_wrapped_module',
  '_checkpoint_wrapped_module',
  '_forward_module',
]);

export interface UnwrappedReader extends TensorReader {
  /** The wrappers that names had, as they stood there: 'module.', 'model.'; none where the names are plain. */
  readonly wrappers: readonly string[];
  /** The name of a tensor in the files. */
  nameInFile(name: string): string;
}

/** The parts of a name that wrappers have left: not the one that is the prefix of the family's own names. */
function wrappersIn(parts: readonly string[], prefix: string): readonly string[] {
  const removed = parts.filter((part) => wrappers.has(part));
  const own = removed.lastIndexOf(prefix.slice(0, -1));
  return removed.filter((_, at) => at !== own);
}

/**
 * A reader that knows its tensors by their names without wrappers; `prefix` is that of the family. Where the plain name is taken, by a tensor that has
 * it or by another one whose name becomes it, the tensor keeps the name that it has. Errors name tensors as in the files.
 */
export function unwrapped(reader: TensorReader, prefix: string): UnwrappedReader {
  const inFile = new Map<string, string>();
  const found = new Set<string>();
  for (const name of reader.tensors.keys()) {
    const parts = name.split('.');
    const kept = parts.filter((part) => !wrappers.has(part));
    const plain = kept.join('.');
    if (plain === name || kept.length === 0 || reader.tensors.has(plain) || inFile.has(plain)) continue;
    inFile.set(plain, name);
    for (const part of wrappersIn(parts, prefix)) found.add(`${part}.`);
  }
  const renamed = new Set(inFile.values());
  const tensors = new Map([...reader.tensors].filter(([name]) => !renamed.has(name)));
  for (const [plain, name] of inFile) tensors.set(plain, reader.info(name));
  const nameInFile = (name: string): string => inFile.get(name) ?? name;
  return {
    source: reader.source,
    tensors,
    wrappers: [...found],
    nameInFile,
    info: (name, shape) => reader.info(nameInFile(name), shape),
    readFloat32: (name, shape) => reader.readFloat32(nameInFile(name), shape),
    close: () => reader.close(),
  };
}
