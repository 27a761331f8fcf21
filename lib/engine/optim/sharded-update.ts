/**
 * The update of a rank's share of the parameters: squares of its gradients, summed over the ranks; the update of its part of
 * each tensor; and the new values of all parts, from the ranks that they belong to. Each element is computed as in an update
 * without ranks, to the same bits.
 */
import { BufferProgram } from '../buffer-program.js';
import { nativeOf } from '../device.js';
import { lossBufferShape, lossGuard } from '../loss-guard.js';
import type { NativeBuffer, NativeProgram, TypedArray } from '../native.js';
import { translated } from '../native-error.js';
import type { BoundBuffer, ParameterStore } from '../parameters.js';
import { type Shape, size } from '../shape.js';
import type { CompiledUpdate, RuleGroup } from './program-optimizer.js';
import { pieces, type Span, type StateShards } from './shards.js';

/** A parameter of the update. */
interface Tensor extends Span {
  readonly name: string;
  readonly value: NativeBuffer;
  readonly gradient: NativeBuffer;
  readonly shape: Shape;
}

/** Parts of buffers, which are let go together. */
class Parts {
  readonly #made: NativeBuffer[] = [];

  of(buffer: NativeBuffer, { offset, count }: Span): NativeBuffer {
    const part = buffer.part(offset, count);
    this.#made.push(part);
    return part;
  }

  dispose(): void {
    for (const part of this.#made) part.dispose();
  }
}

/** The parts of a parameter other than this rank's. */
function rest({ offset, count, shape }: Tensor): Span[] {
  const end = offset + count;
  const spans = [
    { offset: 0, count: offset },
    { offset: end, count: size(shape) - end },
  ];
  return spans.filter((span) => span.count > 0);
}

/** Compiles it. `groups`: the names by rule, of which those without a part here are left out. */
export async function compileSharded(
  store: ParameterStore,
  shards: StateShards,
  names: readonly string[],
  groups: readonly RuleGroup[],
): Promise<CompiledUpdate> {
  const device = nativeOf(store.device);
  const { group } = shards;
  const bound: BoundBuffer[] = [];
  const parts = new Parts();
  const bind = (kind: 'value' | 'workingCopy' | 'gradient', name: string) => {
    const buffer = store.bind(kind, name, store.spec(name).shape);
    bound.push(buffer);
    return buffer.buffer;
  };
  const tensors = names.map((name): Tensor => {
    const { shape } = store.spec(name);
    return { name, shape, value: bind('value', name), gradient: bind('gradient', name), ...shards.own(name) };
  });
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const guard = store.bind('gradient', lossGuard, lossBufferShape).buffer;

  // Squares of all gradients, piece by piece in the order of the names, with zeros for the pieces of other ranks.
  const places: number[] = [];
  let total = 0;
  for (const { shape } of tensors) {
    places.push(total);
    total += pieces(size(shape));
  }
  const squares = store.device.createBuffer('i32', 2 * (total + 1));
  const own = tensors.map((tensor, index) => ({ ...tensor, index })).filter(({ count }) => count > 0);
  const measure = new BufferProgram();
  const measured = own.map(({ gradient, offset, count, index }) => ({
    part: measure.buffer(parts.of(gradient, { offset, count })),
    tensor: index,
    place: places[index]! + pieces(offset),
  }));
  // The guard is the same on all ranks and counts once.
  if (group.rank === 0)
    measured.push({ part: measure.buffer(guard, lossBufferShape), tensor: names.length, place: total });
  const counts = measure.transfer('input', 'i32', [names.length + 1]);
  measure.add('squares', [counts, ...measured.map(({ part }) => part)], [measure.buffer(squares)], {
    tensors: measured.map(({ tensor }) => tensor),
    places: measured.map(({ place }) => place),
  });

  const update = new BufferProgram();
  const norm = update.transfer('output', 'f32', [1]);
  update.add('normOfSquares', [update.buffer(squares)], [norm]);
  update.add('fill', [], [update.buffer(guard, lossBufferShape)], { value: 0 });
  const ownGroups = groups.flatMap(({ rule, names: all, places: at }) => {
    const kept = all.flatMap((name, i) => (byName.get(name)!.count > 0 ? [{ name, place: at[i]! }] : []));
    return kept.length === 0
      ? []
      : [{ rule, names: kept.map(({ name }) => name), places: kept.map(({ place }) => place) }];
  });
  for (const { rule, names: updated } of ownGroups) {
    const inputs = [
      update.transfer('input', 'f32', [rule.hyper(0, 1).length]),
      update.transfer('input', 'i32', [updated.length]),
      update.transfer('input', 'f32', [updated.length]),
      norm,
    ];
    const outputs = updated.flatMap((name) => {
      const { value, gradient, shape, ...span } = byName.get(name)!;
      const { offset, count } = span;
      const all = count === size(shape);
      const use = (buffer: NativeBuffer) => update.buffer(parts.of(buffer, { offset, count }), all ? shape : [count]);
      const slots = store.slots(name).map((slot) => {
        const buffer = store.bindSlot(slot.name, name); // of this rank's elements
        bound.push(buffer);
        return update.buffer(buffer.buffer, all ? shape : [count]);
      });
      const copies = store.hasWorkingCopy(name) ? [use(bind('workingCopy', name))] : [];
      return [use(value), use(gradient), ...slots, ...copies];
    });
    const specs = updated.map((name) => store.spec(name));
    update.add(rule.op, inputs, outputs, {
      decay: specs.map(({ decay }) => Number(decay)),
      hasShadow: updated.map((name) => Number(store.hasWorkingCopy(name))),
      ...rule.attributes(specs),
    });
  }
  const refresh = new BufferProgram();
  let refreshes = false;
  for (const tensor of tensors) {
    const copy = store.hasWorkingCopy(tensor.name) ? bind('workingCopy', tensor.name) : undefined;
    for (const span of rest(tensor)) {
      update.add('fill', [], [update.buffer(parts.of(tensor.gradient, span))], { value: 0 });
      if (!copy) continue;
      refreshes = true;
      refresh.add('cast', [refresh.buffer(parts.of(tensor.value, span))], [refresh.buffer(parts.of(copy, span))]);
    }
  }

  const compiled: NativeProgram[] = [];
  const dispose = () => {
    for (const program of compiled) program.dispose();
    parts.dispose();
    squares.dispose();
  };
  try {
    for (const program of [measure, update, ...(refreshes ? [refresh] : [])]) {
      compiled.push(await program.compile(device));
    }
  } catch (error) {
    dispose();
    throw error;
  }
  const [first, second, third] = compiled as [NativeProgram, NativeProgram, NativeProgram | undefined];
  const gathered = (active: Int32Array) => tensors.filter((_, i) => active[i]! > 0);

  /** Everything is queued at the call; the device does it in order, and all or nothing of it on all ranks. */
  const run = async (active: Int32Array, inputs: readonly TypedArray[], stopped?: Int32Array) => {
    const flag = stopped && { stopped };
    const whole = { profile: false, whole: true, ...flag };
    const changed = gathered(active);
    const jobs = [
      translated(() => first.run([active], whole)),
      translated(() => group.sumDoubles(squares, stopped)),
      translated(() => second.run(inputs, whole)),
      translated(() =>
        group.allGather(
          changed.map(({ value }) => value),
          changed.map(({ name }) => shards.bounds(name)),
          stopped,
        ),
      ),
      ...(third ? [translated(() => third.run([], whole))] : []),
    ] as const;
    await Promise.allSettled(jobs); // so that none is left behind when one fails
    const [before, , result, bytes] = await Promise.all(jobs);
    return {
      norm: result.outputs[0]![0]!,
      elapsedMs: before.elapsedMs + result.elapsedMs,
      waitedMs: before.waitedMs,
      bytesSent: bytes,
    };
  };
  return { run, groups: ownGroups, bound, dispose };
}
