/** Parameters whose gradients a test gives: a store, and a program that adds inputs to the gradients. */
import {
  accumulateGradients,
  add,
  type Device,
  Graph,
  type ParameterDeclaration,
  ParameterStore,
  sum,
} from '../../../lib/engine/index.js';

export interface Trained {
  readonly store: ParameterStore;
  readonly names: readonly string[];
  /** Adds `gradients[name]`, f32 in the parameter's shape, to each parameter's gradient. */
  feed(gradients: Readonly<Record<string, Float32Array>>): Promise<void>;
}

export async function trained(
  device: Device,
  specs: readonly ParameterDeclaration[],
  values: Readonly<Record<string, Float32Array>>,
  precision: 'f32' | 'bf16' = 'f32',
): Promise<Trained> {
  const store = new ParameterStore(device, { precision });
  for (const spec of specs) {
    store.declare(spec);
    await store.write(spec.name, values[spec.name]!);
  }
  const graph = new Graph();
  const losses = specs.map(({ name, shape }) =>
    sum(graph.parameter(name, shape).mul(graph.input(`g.${name}`, shape))).reshape([]),
  );
  accumulateGradients(losses.reduce(add));
  const program = await device.compile(graph, { store });
  return {
    store,
    names: specs.map(({ name }) => name),
    async feed(gradients) {
      await program.run(Object.fromEntries(Object.entries(gradients).map(([name, g]) => [`g.${name}`, g])));
    },
  };
}
