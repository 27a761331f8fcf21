/** Runs native program descriptions in float64, op by op: the definition that backends are held against. */
import type { NativeProgramDesc } from '../../lib/engine/native.js';
import { size } from '../../lib/engine/shape.js';
import { attentionKernels } from './attention.js';
import { cacheKernels } from './cache.js';
import { elementwiseKernels } from './elementwise.js';
import { headKernels } from './head.js';
import { matmulKernels } from './matmul.js';
import { movementKernels } from './movement.js';
import { normKernels } from './norm.js';
import { optimizerKernels } from './optimizer.js';
import { reduceKernels } from './reduce.js';
import { rotaryKernels } from './rotary.js';
import type { ReferenceKernel, ReferenceTensor } from './tensor.js';

export const referenceKernels: Record<string, ReferenceKernel> = {
  ...attentionKernels,
  ...cacheKernels,
  ...elementwiseKernels,
  ...headKernels,
  ...matmulKernels,
  ...movementKernels,
  ...normKernels,
  ...optimizerKernels,
  ...reduceKernels,
  ...rotaryKernels,
};

const inPlace = new Set(['accumulate', 'adamw', 'appendToCache', 'muon']);

/** Runs `desc`; buffers are changed in place, outputs returned by slot. Dtypes are ignored: all is float64. */
export function interpret(
  desc: NativeProgramDesc,
  buffers: readonly Float64Array[],
  inputs: readonly ArrayLike<number>[],
): Float64Array[] {
  const outputs: Float64Array[] = [];
  const data: Float64Array[] = [];
  desc.values.forEach(({ storage, slot, shape }, index) => {
    if (storage === 'buffer') data[index] = buffers[slot]!;
    else if (storage === 'input') data[index] = Float64Array.from(inputs[slot]!);
    else if (storage !== 'alias') data[index] = new Float64Array(size(shape));
    if (storage === 'output') outputs[slot] = data[index]!;
  });
  const memory = (index: number): Float64Array => {
    const { storage, slot } = desc.values[index]!;
    return storage === 'alias' ? memory(slot) : data[index]!;
  };
  const tensor = (index: number): ReferenceTensor => ({ shape: desc.values[index]!.shape, data: memory(index) });
  for (const { op, inputs: from, outputs: to, attrs } of desc.instructions) {
    const kernel = referenceKernels[op];
    if (!kernel) throw new Error(`no reference for '${op}'`);
    const targets = to.map(tensor);
    if (inPlace.has(op)) {
      kernel(from.map(tensor), targets, attrs);
      continue;
    }
    const fresh = targets.map(({ shape, data: old }) => ({ shape, data: new Float64Array(old.length) }));
    kernel(from.map(tensor), fresh, attrs);
    targets.forEach(({ data: target }, i) => {
      if ((attrs.accumulate as number[] | undefined)?.includes(i))
        fresh[i]!.data.forEach((value, j) => (target[j]! += value));
      else target.set(fresh[i]!.data);
    });
  }
  return outputs;
}
