import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { writeSynced } from '../../lib/fs/durable.js';
import { fromFloat16, toFloat16 } from '../../lib/interop/elements.js';
import {
  encodeSafetensors,
  SafetensorsReader,
  type TensorToWrite,
  writeSafetensors,
} from '../../lib/interop/safetensors.js';

const golden = (path: string): string => join(import.meta.dirname, '../fixtures/golden', path);

/** A file of this header (JSON text or object) and as many zero bytes of data. */
function file(header: unknown, dataBytes: number, headerLength?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const tensors: TensorToWrite[] = [
  { name: 'b', dtype: 'BF16', shape: [3], data: Uint16Array.from([0x3f80, 0xc000, 0x7f80]) },
  { name: 'a', dtype: 'F32', shape: [2, 2], data: Float32Array.from([1.5, -2, 3e-39, 4]) },
  { name: 'i', dtype: 'I32', shape: [2], data: Int32Array.from([-1, 2147483647]) },
  { name: 'w', dtype: 'I64', shape: [1, 2], data: BigInt64Array.from([-5n, 7n]) },
  { name: 'empty', dtype: 'F32', shape: [0, 4], data: new Float32Array(0) },
  { name: 'scalar', dtype: 'F32', shape: [], data: () => Promise.resolve(Float32Array.from([9])) },
];

t.test('what is written is read back', async (t) => {
  const bytes = await encodeSafetensors(tensors, { format: 'pt', step: '12' });
  const reader = await SafetensorsReader.fromBytes(bytes);
  t.same(reader.metadata, { format: 'pt', step: '12' });
  t.same([...reader.tensors.keys()].sort(), ['a', 'b', 'empty', 'i', 'scalar', 'w']);
  t.same(await reader.readFloat32('a', [2, 2]), Float32Array.from([1.5, -2, 3e-39, 4]));
  t.same(await reader.readFloat32('b'), Float32Array.from([1, -2, Number.POSITIVE_INFINITY]));
  t.same(await reader.readInt32('i'), Int32Array.from([-1, 2147483647]));
  t.same(await reader.readInt32('w'), Int32Array.from([-5, 7]));
  t.same(await reader.readFloat32('empty'), new Float32Array(0));
  t.same(await reader.readFloat32('scalar', []), Float32Array.from([9]));
});

t.test('the header is padded so that all data is aligned to its width', async (t) => {
  const bytes = await encodeSafetensors(tensors);
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  t.equal(headerBytes % 8, 0);
  const reader = await SafetensorsReader.fromBytes(bytes);
  t.equal(reader.info('w').begin, 0, 'the widest elements come first');
  t.equal(reader.info('b').begin % 2, 0);
  t.equal(reader.info('b').end, bytes.length - 8 - headerBytes, 'the narrowest last');
});

t.test('a written file has the bytes of the encoded one', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'apollo-safetensors-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'x.safetensors');
  const checksum = await writeSynced(path, (file) => writeSafetensors(file, tensors, { a: 'b' }));
  const written = await readFile(path);
  t.same(checksum, { bytes: written.length, crc32: crc32(written) });
  t.same(new Uint8Array(written), await encodeSafetensors(tensors, { a: 'b' }));
  await using reader = await SafetensorsReader.open(path);
  t.same(await reader.readFloat32('a'), Float32Array.from([1.5, -2, 3e-39, 4]));
  const fromBuffer = await SafetensorsReader.fromBytes(written);
  t.same(await fromBuffer.readInt32('w'), Int32Array.from([-5, 7]), 'a Buffer inside a pool is read by value');
});

t.test('bf16 rounds to nearest even, f16 is read exactly', async (t) => {
  // 1 + 2^-8 is halfway between 1 and 1 + 2^-7: even is 1; 1 + 3 * 2^-8 halfway, even is 1 + 2^-6.
  const values = Float32Array.from([1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, Number.NaN, 3.4e38]);
  const bytes = await encodeSafetensors([{ name: 'x', dtype: 'BF16', shape: [5], data: values }]);
  const rounded = await (await SafetensorsReader.fromBytes(bytes)).readFloat32('x');
  t.same(rounded, Float32Array.from([1, 1 + 2 ** -6, 1 + 2 ** -7, Number.NaN, Number.POSITIVE_INFINITY]));

  const half = file({ h: { dtype: 'F16', shape: [6], data_offsets: [0, 12] } }, 12);
  // 1, -2, 65504 (largest), 2^-24 (smallest), infinity, 1/3 rounded
  new Uint16Array([0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x3555]).forEach((bits, i) => {
    new DataView(half.buffer).setUint16(half.length - 12 + 2 * i, bits, true);
  });
  const read = await (await SafetensorsReader.fromBytes(half)).readFloat32('h');
  t.same(read, Float32Array.from([1, -2, 65504, 2 ** -24, Number.POSITIVE_INFINITY, 0.333251953125]));
});

t.test('reads files of the reference implementation', async (t) => {
  await using weights = await SafetensorsReader.open(golden('tiny-gpt2/model.safetensors'));
  t.same(weights.metadata, { format: 'pt' });
  t.equal(weights.tensors.size, 28);
  t.same(weights.info('transformer.h.1.mlp.c_fc.weight').shape, [2, 8]);
  await using inputs = await SafetensorsReader.open(golden('gpt2-ref/inputs.safetensors'));
  t.equal((await inputs.readInt32('input_ids', [2, 16])).length, 32, 'i64 becomes 32-bit integers');
});

t.test('a damaged file is refused with its fault', async (t) => {
  const one = (entry: Record<string, unknown>) => ({ x: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...entry } });
  const cases: [string, Uint8Array, RegExp][] = [
    ['no room for the length', new Uint8Array(7), /at least 8 bytes; this one has 7/],
    [
      'header beyond the end',
      file(one({}), 8, 1000n),
      /header claims 1000 bytes, the file has \d+ after its length; not a safetensors file, or cut short/,
    ],
    ['header beyond 2^53', file(one({}), 8, 2n ** 63n), /header claims 9223372036854775808 bytes/],
    ['header of no bytes', file('', 0), /header claims 0 bytes; even an empty one has 2/],
    ['header with a byte order mark', file('\ufeff{}', 0), /header is not JSON/],
    ['header padded in front', file('\u0000{}', 0), /header is not JSON/],
    ['not JSON', file('{"x": ', 0), /header is not JSON/],
    [
      'not UTF-8',
      file('{"\u00e9":1}', 0).map((byte, i, all) => (i === all.length - 5 ? 0xff : byte)),
      /header is not JSON in UTF-8/,
    ],
    ['not an object', file('[1]', 0), /must be a JSON object/],
    ['entry not an object', file({ x: 3 }, 0), /tensor "x": its header entry must be an object/],
    [
      'no dtype',
      file(one({ dtype: 'f-31' }), 8),
      /tensor "x": dtype must be the name of one, such as "F32"; got "f-31"/,
    ],
    ['half a byte', file(one({ dtype: 'F4', shape: [15] }), 8), /shape \[15\] ends within a byte/],
    ['4 bits', file(one({ dtype: 'F4', shape: [14] }), 8), /shape \[14\] of F4 takes 7 bytes, its offsets span 8/],
    ['negative extent', file(one({ shape: [-2] }), 8), /tensor "x": shape must be a list of whole numbers; got \[-2\]/],
    ['fractional extent', file(one({ shape: [0.5] }), 8), /tensor "x": shape must be/],
    [
      'huge shape',
      file(one({ shape: [2 ** 40, 2 ** 40] }), 8),
      /"x": shape \[1099.*\] has more elements than any file/,
    ],
    [
      'shape that wraps to 8 in 64 bits',
      file(one({ shape: [2 ** 32 + 1, 2 ** 32] }), 8),
      /more elements than any file/,
    ],
    ['infinite times nothing', file(one({ shape: new Array(40).fill(2 ** 52).concat(0) }), 8), /more elements than/],
    ['no shape', file(one({ shape: undefined }), 8), /shape must be a list of whole numbers; got undefined/],
    [
      'extent beyond whole numbers',
      file(one({ shape: [1e300] }), 8),
      /shape must be a list of whole numbers; got \[1e\+300\]/,
    ],
    ['scalar of a vector', file(one({ shape: [] }), 8), /shape \[\] of F32 takes 4 bytes, its offsets span 8/],
    ['size mismatch', file(one({ shape: [3] }), 8), /shape \[3\] of F32 takes 12 bytes, its offsets span 8/],
    ['offsets reversed', file(one({ data_offsets: [8, 0] }), 8), /data_offsets \[8, 0\] end before they start/],
    ['offsets beyond the data', file(one({}), 4), /data_offsets \[0, 8\] lie outside the 4 bytes of data/],
    ['offsets not two', file(one({ data_offsets: [0] }), 8), /data_offsets must be two whole numbers; got \[0\]/],
    [
      'offset below zero',
      file(one({ data_offsets: [-8, 0] }), 8),
      /data_offsets must be two whole numbers; got \[-8,0\]/,
    ],
    ['offset beyond 2^53', file(one({ data_offsets: [0, 2 ** 60] }), 8), /data_offsets must be two whole numbers/],
    [
      'one name twice',
      file(
        '{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        1,
      ),
      /header has the name "x" twice/,
    ],
    [
      'one name twice, once escaped',
      file(
        '{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0078":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}',
        1,
      ),
      /header has the name "x" twice/,
    ],
    [
      'one field twice',
      file('{"x":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1),
      /header has the name "dtype" twice/,
    ],
    ['data without tensors', file('{}', 1), /1 bytes after the last tensor/],
    ['trailing data', file(one({}), 11), /3 bytes after the last tensor/],
    [
      'hole',
      file(one({ data_offsets: [4, 12] }), 12),
      /"x" starts at byte 4 and leaves a hole before it \(byte 0 expected\)/,
    ],
    [
      'overlap',
      file({ ...one({}), y: { dtype: 'I32', shape: [1], data_offsets: [4, 8] } }, 8),
      /"y" starts at byte 4 and overlaps the tensor before it/,
    ],
    ['metadata not text', file({ __metadata__: { a: 1 }, ...one({}) }, 8), /__metadata__ must map names to text/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.rejects(SafetensorsReader.fromBytes(bytes, 'my.safetensors'), { code: 'BAD_CHECKPOINT', message }, name);
    await t.rejects(SafetensorsReader.fromBytes(bytes, 'my.safetensors'), { message: /^my\.safetensors: / });
  }
});

t.test('null is no metadata, and types that nobody asks for may be any', async (t) => {
  const entry = (dtype: string, shape: number[], begin: number, end: number) => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const bytes = file(
    {
      __metadata__: null,
      x: entry('F32', [1], 0, 4),
      four: entry('F4', [2], 4, 5),
      six: entry('F6_E2M3', [4], 5, 8),
      complex: entry('C64', [1], 8, 16),
      scale: entry('F8_E8M0', [2], 16, 18),
      later: entry('F3_E1M1', [7], 18, 20),
    },
    20,
  );
  const reader = await SafetensorsReader.fromBytes(bytes, 'my.safetensors');
  t.same(reader.metadata, {});
  t.equal((await reader.readFloat32('x')).length, 1);
  for (const [name, dtype] of [
    ['four', 'F4'],
    ['complex', 'C64'],
    ['later', 'F3_E1M1'],
  ] as const) {
    await t.rejects(reader.readFloat32(name), {
      message: `my.safetensors: tensor "${name}" is ${dtype}; expected one of F32,`,
    });
  }
});

t.test('a Git LFS pointer is called that', async (t) => {
  const text = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 440449768\n';
  const expected = { code: 'BAD_CHECKPOINT', message: /^my\.safetensors is a Git LFS pointer.*git lfs pull/ };
  await t.rejects(SafetensorsReader.fromBytes(new TextEncoder().encode(text), 'my.safetensors'), expected);
});

t.test('a header too large for the format is refused before it is read', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'apollo-safetensors-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'large.safetensors');
  const start = new Uint8Array(8);
  new DataView(start.buffer).setBigUint64(0, 100_000_001n, true);
  await writeFile(path, start);
  await truncate(path, 200_000_000); // a hole: it takes no space
  await t.rejects(SafetensorsReader.open(path), {
    code: 'BAD_CHECKPOINT',
    message: `${path}: the header claims 100000001 bytes; the format allows 100000000.`,
  });
});

t.test('keys that only look alike are no duplicates', async (t) => {
  const entry = { dtype: 'U8', shape: [0], data_offsets: [0, 0] };
  const header = {
    'a"b': entry,
    'a\\b': entry,
    'a:{': entry,
    dtype: entry,
    __metadata__: { dtype: 'x', 'a"b': '{"x":1,"x":1}' },
  };
  const reader = await SafetensorsReader.fromBytes(file(header, 0));
  t.same([...reader.tensors.keys()], ['a"b', 'a\\b', 'a:{', 'dtype']);
});

t.test('f16 rounds to nearest even, to infinity beyond its range', async (t) => {
  // Each value and its bits, from the format: 1 sign, 5 exponent (bias 15), 10 fraction bits.
  const cases: [number, number][] = [
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [1 + 2 ** -11, 0x3c00], // halfway between 1 and the next: even
    [1 + 3 * 2 ** -11, 0x3c02], // halfway, the even one is above
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [2 - 2 ** -12, 0x4000], // rounds up into the next power of two
    [65504, 0x7bff],
    [65519.996, 0x7bff],
    [65520, 0x7c00],
    [-1e30, 0xfc00],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [2 ** -14, 0x0400], // the smallest normal number
    [2 ** -14 - 2 ** -25, 0x0400], // halfway to the largest subnormal one
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000], // half of it: even
    [3 * 2 ** -25, 0x0002],
    [-(2 ** -26), 0x8000],
    [Number.NaN, 0x7e00],
  ];
  const values = Float32Array.from(cases, ([value]) => value);
  t.same(
    [...toFloat16(values)],
    cases.map(([, bits]) => bits),
  );
  const every = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
  const back = toFloat16(fromFloat16(every));
  t.ok(
    every.every((bits, i) => back[i] === bits || ((bits & 0x7c00) === 0x7c00 && (bits & 1023) > 0)),
    'every half is its own nearest half',
  );
  const bytes = await encodeSafetensors([{ name: 'h', dtype: 'F16', shape: [2], data: Float32Array.of(0.1, 7) }]);
  t.same(await (await SafetensorsReader.fromBytes(bytes)).readFloat32('h'), Float32Array.of(0.0999755859375, 7));
});

t.test('names that mean something to JavaScript are ordinary names', async (t) => {
  const header =
    '{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"constructor":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}';
  const reader = await SafetensorsReader.fromBytes(file(header, 8));
  t.equal(reader.tensors.size, 2);
  t.throws(() => reader.info('toString'), { code: 'BAD_CHECKPOINT', message: /tensor "toString" is missing/ });
});

t.test('asking for what is not there says so', async (t) => {
  const reader = await SafetensorsReader.fromBytes(await encodeSafetensors(tensors), 'w.safetensors');
  await t.rejects(reader.readFloat32('nope'), {
    code: 'BAD_CHECKPOINT',
    message: 'w.safetensors: tensor "nope" is missing.',
  });
  await t.rejects(reader.readFloat32('a', [4]), { message: /"a" has shape \[2, 2\]; expected \[4\]/ });
  await t.rejects(reader.readFloat32('i'), { message: /"i" is I32; expected one of F32, BF16, F16/ });
  await t.rejects(reader.readInt32('a'), { message: /"a" is F32; expected I32 or I64/ });
  const wide = await encodeSafetensors([
    { name: 'x', dtype: 'I64', shape: [1], data: BigInt64Array.from([2n ** 40n]) },
  ]);
  await t.rejects((await SafetensorsReader.fromBytes(wide)).readInt32('x'), {
    message: /"x" has values beyond 32 bits/,
  });
  await t.rejects(SafetensorsReader.open('/no/such/file'), {
    code: 'BAD_CHECKPOINT',
    message: /\/no\/such\/file: cannot be opened/,
  });
});

t.test('a file cut after it was opened is noticed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'apollo-safetensors-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'x.safetensors');
  await writeFile(path, await encodeSafetensors(tensors));
  await using reader = await SafetensorsReader.open(path);
  await writeFile(path, (await readFile(path)).subarray(0, 20));
  await t.rejects(reader.readFloat32('b'), { code: 'BAD_CHECKPOINT', message: /ended at byte \d+; it was cut/ });
});

t.test('a reader that is closed says so', async (t) => {
  const path = join(t.testdir(), 'x.safetensors');
  await writeFile(path, await encodeSafetensors(tensors));
  for (const reader of [await SafetensorsReader.open(path), await SafetensorsReader.fromBytes(await readFile(path))]) {
    await reader.close();
    await reader.close();
    await t.rejects(reader.readFloat32('b'), { code: 'CLOSED', message: /is closed; open it again/ });
  }
});

t.test('what cannot be written is refused', async (t) => {
  const x: TensorToWrite = { name: 'x', dtype: 'F32', shape: [2], data: new Float32Array(2) };
  const refuses = (list: TensorToWrite[], message: RegExp) =>
    t.rejects(encodeSafetensors(list), { code: 'BAD_ARGUMENT', message });
  await refuses([x, x], /"x" is given twice/);
  await refuses([{ ...x, name: '__metadata__' }], /reserved/);
  await refuses([{ ...x, shape: [3] }], /"x" of shape \[3\] needs 3 elements; got 2/);
  await refuses([{ ...x, shape: [-1] }], /bad shape/);
  await refuses([{ ...x, dtype: 'I32' }], /"x" is I32, which a Float32Array cannot fill/);
  await refuses([{ ...x, dtype: 'F64' as 'F32' }], /dtype must be one of F32, BF16, F16, I32, I64; got F64/);
});
