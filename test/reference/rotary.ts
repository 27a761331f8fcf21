/** Float64 definition of rotary. Angles are f32 products: what the op promises for any implementation of cos and sin. */
import type { ReferenceKernel } from './tensor.js';

export const rotaryKernels: Record<string, ReferenceKernel> = {
  rotary([x, positions], [y], attrs) {
    const { heads, headSize, frequencies, inverse } = attrs as {
      heads: number;
      headSize: number;
      frequencies: readonly number[];
      inverse: boolean;
    };
    const [, tokens, width] = x!.shape as [number, number, number];
    y!.data.set(x!.data);
    for (let row = 0; row < x!.data.length / width; row++) {
      const position = positions ? positions.data[row]! : row % tokens;
      for (let h = 0; h < heads; h++) {
        frequencies.forEach((frequency, j) => {
          const angle = Math.fround(position * Math.fround(frequency)) * (inverse ? -1 : 1);
          const first = row * width + h * headSize + j;
          const second = first + headSize / 2;
          const [a, b] = [x!.data[first]!, x!.data[second]!];
          y!.data[first] = a * Math.cos(angle) - b * Math.sin(angle);
          y!.data[second] = b * Math.cos(angle) + a * Math.sin(angle);
        });
      }
    }
  },
};
