/** Float64 definitions of gradNorm, and of adamw and muon (in place on their outputs). */
import type { ReferenceKernel } from './tensor.js';

type Rows = Float64Array[];

const multiply = (a: Rows, b: Rows): Rows =>
  a.map((row) => Float64Array.from(b[0]!, (_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0)));
const transpose = (a: Rows): Rows => Array.from(a[0]!, (_, j) => Float64Array.from(a, (row) => row[j]!));
const combine = (p: number, a: Rows, q: number, b: Rows): Rows =>
  a.map((row, i) => row.map((x, j) => p * x + q * b[i]![j]!));

/** Newton-Schulz iterations as Jordan et al. (2024) write them: X <- a X + (b A + c A^2) X with A = X X^T. */
export function orthogonalised(matrix: Rows, iterations: number): Rows {
  if (matrix.length > matrix[0]!.length) return transpose(orthogonalised(transpose(matrix), iterations));
  const norm = Math.sqrt(matrix.reduce((sum, row) => row.reduce((s, x) => s + x * x, sum), 0));
  let x: Rows = matrix.map((row) => row.map((value) => value / Math.max(norm, 1e-7)));
  for (let i = 0; i < iterations; i++) {
    const gram = multiply(x, transpose(x));
    x = combine(3.4445, x, 1, multiply(combine(-4.775, gram, 2.0315, multiply(gram, gram)), x));
  }
  return x;
}

export const optimizerKernels: Record<string, ReferenceKernel> = {
  gradNorm([counts, ...gradients], [norm]) {
    const counted = gradients.filter((_, i) => counts!.data[i] !== 0);
    norm!.data[0] = Math.sqrt(counted.reduce((sum, { data }) => data.reduce((s, g) => s + g * g, sum), 0));
  },
  adamw([hyper, counts, rates, norm], tensors, { decay, hasShadow }) {
    const [rate, beta1, beta2, epsilon, weightDecay, maxNorm, gradScale] = hyper!.data as unknown as number[];
    const total = norm!.data[0]!;
    const clip = maxNorm! > 0 ? Math.min(1, maxNorm! / (total * gradScale! + 1e-6)) : 1;
    let next = 0;
    counts!.data.forEach((k, i) => {
      const [value, gradient, m, v] = tensors.slice(next, next + 4).map((t) => t.data) as Float64Array[];
      const shadow = (hasShadow as number[])[i] ? tensors[next + 4]!.data : undefined;
      next += shadow ? 5 : 4;
      const learningRate = rate! * rates!.data[i]!;
      gradient!.forEach((raw, j) => {
        gradient![j] = 0;
        if (!Number.isFinite(total) || k === 0) return;
        const g = raw * gradScale! * clip;
        value![j]! *= 1 - learningRate * weightDecay! * (decay as number[])[i]!;
        m![j] = beta1! * m![j]! + (1 - beta1!) * g;
        v![j] = beta2! * v![j]! + (1 - beta2!) * g * g;
        value![j]! -=
          (learningRate * (m![j]! / (1 - beta1! ** k))) / (Math.sqrt(v![j]! / (1 - beta2! ** k)) + epsilon!);
        if (shadow) shadow[j] = value![j]!;
      });
    });
  },
  muon([hyper, counts, rates, norm], tensors, attrs) {
    const { decay, hasShadow, parts, widths, iterations, adjust, nesterov } = attrs as {
      decay: number[];
      hasShadow: number[];
      parts: number[];
      widths: number[];
      iterations: number;
      adjust: string;
      nesterov: boolean;
    };
    const [rate, mu, weightDecay, maxNorm, gradScale] = hyper!.data as unknown as [
      number,
      number,
      number,
      number,
      number,
    ];
    const total = norm!.data[0]!;
    const clip = maxNorm > 0 ? Math.min(1, maxNorm / (total * gradScale + 1e-6)) : 1;
    const allWidths = [...widths];
    let next = 0;
    counts!.data.forEach((k, i) => {
      const [value, gradient, momentum] = tensors.slice(next, next + 3).map((t) => t.data) as Float64Array[];
      const [rows, columns] = tensors[next]!.shape as [number, number];
      const shadow = hasShadow[i] ? tensors[next + 3]!.data : undefined;
      next += shadow ? 4 : 3;
      const own = allWidths.splice(0, parts[i]);
      const newest = gradient!.map((g) => g * gradScale * clip);
      gradient!.fill(0);
      if (!Number.isFinite(total) || k === 0) return;
      const learningRate = rate * rates!.data[i]!;
      newest.forEach((g, j) => {
        momentum![j] = mu * momentum![j]! + (1 - mu) * g;
      });
      const direction = momentum!.map((m, j) => (nesterov ? mu * m + (1 - mu) * newest[j]! : m));
      let first = 0;
      for (const width of own) {
        const block = Array.from({ length: rows }, (_, r) =>
          direction.slice(r * columns + first, r * columns + first + width),
        );
        const factor =
          adjust === 'original' ? Math.sqrt(Math.max(1, width / rows)) : 0.2 * Math.sqrt(Math.max(rows, width));
        orthogonalised(block, iterations).forEach((row, r) => {
          row.forEach((x, c) => {
            const j = r * columns + first + c;
            value![j] = value![j]! * (1 - learningRate * weightDecay * decay[i]!) - learningRate * factor * x;
            if (shadow) shadow[j] = value![j]!;
          });
        });
        first += width;
      }
    });
  },
};
