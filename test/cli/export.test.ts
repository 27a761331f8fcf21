import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseSize } from '../../lib/cli/commands/export.js';
import { run } from '../../lib/cli/run.js';
import { memoryIo, temporaryFolder } from './support.js';

const golden = (name: string): string => join(import.meta.dirname, '../fixtures/golden', name);

t.test('an export says what it wrote and how Python loads it', async (t) => {
  const out = join(temporaryFolder(), 'gpt');
  const io = memoryIo();
  t.equal(await run(['export', golden('gpt2-ref'), '--out', out, '--shard-size', '60KB'], io), 0, io.err());
  t.match(io.out(), `${out}: gpt, 3 layers x 32, vocabulary`);
  t.match(io.out(), /model-00001-of-00003\.safetensors {2}5\d\.\d KiB|model-00001-of-0000\d\.safetensors/);
  t.match(io.out(), `transformers.AutoModelForCausalLM.from_pretrained("${out}")`);
  t.match(io.err(), /warning: No tokenizer was found/);
  t.ok(existsSync(join(out, 'model.safetensors.index.json')));

  const again = memoryIo();
  t.equal(await run(['export', golden('gpt2-ref'), '--out', out], again), 1);
  t.match(again.err(), /holds an exported model already\. Name another folder, or replace it with --force/);
  const forced = memoryIo();
  t.equal(await run(['export', golden('gpt2-ref'), '--out', out, '--force', '--dtype', 'bf16', '--json'], forced), 0);
  t.match(JSON.parse(forced.out()), { type: 'export', folder: out, stored: 3, config: { kind: 'gpt', layers: 3 } });
  t.same(readdirSync(out).sort(), ['config.json', 'generation_config.json', 'model.safetensors']);
});

t.test('a Llama: its shape, and the class that Python loads it as', async (t) => {
  const out = join(temporaryFolder(), 'llama');
  const io = memoryIo();
  t.equal(await run(['export', golden('llama-ref-a'), '--out', out], io), 0, io.err());
  t.match(io.out(), `${out}: llama, 4 layers x 48, vocabulary`);
  t.match(io.out(), `transformers.AutoModelForCausalLM.from_pretrained("${out}")`);
  t.notMatch(io.err(), /wrapper/, 'the prefix of its names is its own');
});

t.test("a user's mistake is one message", async (t) => {
  const folder = temporaryFolder();
  for (const [args, expected] of [
    [
      ['export', join(folder, 'none'), '--out', join(folder, 'x')],
      /There is no model in .*none: there is no such folder/,
    ],
    [['export', golden('gpt2-ref'), '--out', join(folder, 'x'), '--dtype', 'f8'], /Allowed choices are f32, bf16, f16/],
    [['export', golden('gpt2-ref'), '--out', join(folder, 'x'), '--shard-size', 'small'], /It must be a size, such as/],
    [['export', golden('gpt2-ref')], /required option '--out <folder>' not specified/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run(args, io), 1, args.join(' '));
    t.match(io.err(), expected);
    t.notMatch(io.err(), /\n +at /);
  }
  t.same(readdirSync(folder), []);
});

t.test('sizes', async (t) => {
  t.same(['1000', '5GB', '1.5MiB', '20 kb'].map(parseSize), [1000, 5e9, 1572864, 20000]);
  for (const text of ['0', '-1MB', '5TB', '', 'MB'])
    t.throws(() => parseSize(text), { message: /must be a size/ }, text);
});
