/** What the methods of ParameterStore take. */
import * as is from '../../is.js';

export const bindSlot = is.takes('ParameterStore.bindSlot', { slot: is.string, name: is.string });

export const bind = is.takes('ParameterStore.bind', { kind: is.string, name: is.string, shape: is.shape });

export const hasWorkingCopy = is.takes('ParameterStore.hasWorkingCopy', { name: is.string });

export const remove = is.takes('ParameterStore.remove', { name: is.string });

export const gradient = is.takes('ParameterStore.gradient', { name: is.string });

export const copy = is.takes('ParameterStore.copy', {
  from: is.string,
  to: is.string,
  options: is.options({
    moments: is.either(is.oneOf('copy', 'zero', 'keep'), is.object('{ scale }', { scale: is.number })),
  }),
});

export const setCount = is.takes('ParameterStore.setCount', { name: is.string, count: is.number });

export const count = is.takes('ParameterStore.count', { name: is.string });

export const writeMoments = is.takes('ParameterStore.writeMoments', {
  name: is.string,
  moments: is.object('moments { slots, count }', {
    slots: is.list(is.object('a slot { name, values }', { name: is.string, values: is.float32 })),
    count: is.index,
  }),
});

export const zeroMoments = is.takes('ParameterStore.zeroMoments', { name: is.string });

export const moments = is.takes('ParameterStore.moments', { name: is.string, root: is.optional(is.index) });

export const shardState = is.takes('ParameterStore.shardState', {
  group: is.having('a NativeGroup', ['collect', 'allGather', 'sumDoubles']),
});

export const read = is.takes('ParameterStore.read', { name: is.string });

export const write = is.takes('ParameterStore.write', { name: is.string, values: is.float32 });

export const spec = is.takes('ParameterStore.spec', { name: is.string });

export const has = is.takes('ParameterStore.has', { name: is.string });

export const slots = is.takes('ParameterStore.slots', { name: is.string });

export const keepState = is.takes('ParameterStore.keepState', { layout: is.stateLayout });

export const rebuild = is.takes('ParameterStore.rebuild', {
  parameters: is.list(
    is.object('a rebuilt parameter { spec, value, moment?, count }', {
      spec: is.object('a parameter declaration', { name: is.name, shape: is.shape }),
      value: is.func,
      moment: is.optional(is.func),
      count: is.index,
    }),
  ),
});

export const keepAlso = is.takes('ParameterStore.keepAlso', {
  slots: is.list(is.object('a StateSlot', { name: is.string, power: is.whole(0, 8) })),
});

export const declare = is.takes('ParameterStore.declare', {
  spec: is.options({
    name: is.name,
    shape: is.shape,
    workingCopy: is.boolean,
    decay: is.boolean,
    matrices: is.optional(is.shape),
  }),
});

export const newStore = is.takes('new ParameterStore', {
  device: is.device,
  options: is.options({ precision: is.precision }),
});
