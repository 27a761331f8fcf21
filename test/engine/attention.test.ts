// What attention and its cached form refuse about heads, and that equal numbers of heads are the default.
import t from 'tap';
import { Graph } from '../../lib/engine/graph.js';
import { graphFlops } from '../../lib/engine/lowering.js';
import { attention, cachedAttention } from '../../lib/engine/ops/index.js';

const shape = (pattern: RegExp) => ({ code: 'BAD_SHAPE', message: pattern });
const argument = (pattern: RegExp) => ({ code: 'BAD_ARGUMENT', message: pattern });

t.test('heads that do not divide, and rows that are not whole heads', async (t) => {
  const g = new Graph();
  const x = (...extents: number[]) => g.input(`x ${extents}`, extents);
  const qkv = x(2, 5, 24);
  t.throws(
    () => attention({ qkv }, { heads: 4, keyValueHeads: 3 }),
    argument(/^attention: keyValueHeads must be a positive integer that divides the 4 heads; got 3/),
  );
  t.throws(() => attention({ qkv }, { heads: 4, keyValueHeads: 0 }), argument(/keyValueHeads must be .*; got 0/));
  t.throws(() => attention({ qkv }, { heads: 1.5 }), argument(/heads must be a positive integer; got 1.5/));
  t.throws(
    () => attention({ qkv }, { heads: 3, keyValueHeads: 1 }),
    shape(/^attention: a row of 24 does not divide into 3 query, 1 key and 1 value heads; got f32 \[2, 5, 24\]/),
  );
  const [q, k] = [x(2, 3, 24), x(2, 5, 8)];
  t.throws(() => attention({ q, k, v: k }, { heads: 5 }), shape(/a row of 24 does not divide into 5 heads/));
  t.throws(
    () => attention({ q, k, v: k }, { heads: 6 }),
    shape(/k and v must be \[2, Tk, 24\], 6 heads of 4; got f32 \[2, 3, 24\], f32 \[2, 5, 8\], f32 \[2, 5, 8\]/),
  );
  t.same(attention({ q, k, v: k }, { heads: 6, keyValueHeads: 2 }).shape, [2, 3, 24]);
});

t.test('the output has the query heads; the cache the key/value heads', async (t) => {
  const g = new Graph();
  const cache = { keys: g.state('k', [2, 7, 8]), values: g.state('v', [2, 7, 8]) };
  const positions = g.input('positions', [2, 1], 'i32');
  const qkv = g.input('qkv', [2, 1, 40]);
  t.same(cachedAttention(qkv, cache, positions, { heads: 6, keyValueHeads: 2 }).shape, [2, 1, 24]);
  t.throws(
    () => cachedAttention(qkv, cache, positions, { heads: 4, keyValueHeads: 2 }),
    shape(/qkv must have rows of 4 query, 2 key and 2 value heads of 4; got f32 \[2, 1, 40\]/),
  );
  t.throws(
    () => cachedAttention(qkv, cache, positions, { heads: 6, keyValueHeads: 4 }),
    argument(/^cachedAttention: keyValueHeads must be .* divides the 6 heads; got 4/),
  );
});

t.test('keyValueHeads is heads unless given, and FLOPs count the query heads', async (t) => {
  const traced = (keyValueHeads: number | undefined, row: number) => {
    const g = new Graph();
    g.output('o', attention({ qkv: g.input('qkv', [2, 5, row]) }, { heads: 4, keyValueHeads, causal: true }));
    return g;
  };
  t.equal(traced(undefined, 96).signature, traced(4, 96).signature);
  t.not(traced(2, 96).signature, traced(4, 96).signature);
  // Two products of 2 multiply-adds x 15 pairs of the triangle x 4 heads of 8, in two sequences.
  t.equal(graphFlops(traced(4, 96)), 2 * 2 * 2 * 15 * 4 * 8);
  t.equal(graphFlops(traced(2, 64)), 2 * 2 * 2 * 15 * 4 * 8);
});
