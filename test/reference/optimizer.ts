/** Float64 definitions of gradNorm and adamw (in place on its outputs). */
import type { ReferenceKernel } from './tensor.js';

export const optimizerKernels: Record<string, ReferenceKernel> = {
  gradNorm(inputs, [norm]) {
    norm!.data[0] = Math.sqrt(inputs.reduce((sum, { data }) => data.reduce((s, g) => s + g * g, sum), 0));
  },
  adamw([hyper, counts, norm], tensors, { decay, hasShadow }) {
    const [lr, beta1, beta2, epsilon, weightDecay, maxNorm, gradScale] = hyper!.data as unknown as number[];
    const total = norm!.data[0]!;
    const clip = maxNorm! > 0 ? Math.min(1, maxNorm! / (total * gradScale! + 1e-6)) : 1;
    let next = 0;
    counts!.data.forEach((k, i) => {
      const [value, gradient, m, v] = tensors.slice(next, next + 4).map((t) => t.data) as Float64Array[];
      const shadow = (hasShadow as number[])[i] ? tensors[next + 4]!.data : undefined;
      next += shadow ? 5 : 4;
      gradient!.forEach((raw, j) => {
        gradient![j] = 0;
        if (!Number.isFinite(total)) return;
        const g = raw * gradScale! * clip;
        value![j]! *= 1 - lr! * weightDecay! * (decay as number[])[i]!;
        m![j] = beta1! * m![j]! + (1 - beta1!) * g;
        v![j] = beta2! * v![j]! + (1 - beta2!) * g * g;
        value![j]! -= (lr! * (m![j]! / (1 - beta1! ** k))) / (Math.sqrt(v![j]! / (1 - beta2! ** k)) + epsilon!);
        if (shadow) shadow[j] = value![j]!;
      });
    });
  },
};
