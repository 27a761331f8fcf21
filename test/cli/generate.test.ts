// The commands over golden weights in Hugging Face folders; what they print is what the library gives.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { loadTokenizer } from '../../lib/data/index.js';
import { goldenJson } from '../parity/golden.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';

interface Answers {
  readonly text: { readonly prompt: string; readonly tokens: number[] };
  readonly fill: { readonly vocab: string[]; readonly cases: { text: string; tokens: number[][] }[] };
}

const fixtures = join(import.meta.dirname, '../fixtures');
const { text: expected, fill } = (await goldenJson('generation.json')) as unknown as Answers;

/** A golden model's folder with a tokenizer next to it. */
function modelFolder(name: string, tokenizer: string, content: string | Uint8Array): string {
  const folder = join(temporaryFolder(), name);
  mkdirSync(folder);
  for (const file of ['config.json', 'model.safetensors']) {
    copyFileSync(join(fixtures, 'golden', name, file), join(folder, file));
  }
  writeFileSync(join(folder, tokenizer), content);
  return folder;
}

const skip = engineMissing();
const gpt2Tokenizer = gunzipSync(readFileSync(join(fixtures, 'tokenizers/gpt2/tokenizer.json.gz')));
const gpt = modelFolder('tiny-gpt2', 'tokenizer.json', gpt2Tokenizer);
const bert = modelFolder('bert-pretrain-ref', 'vocab.txt', `${fill.vocab.join('\n')}\n`);
const common = ['--precision', 'f32', '--threads', '1'];
const { prompt, tokens } = expected;
const continued = loadTokenizer(gpt).decode(tokens);
const greedy = ['generate', '--model', gpt, ...common, '--greedy', '--max-tokens', `${tokens.length}`];

t.test('generate writes prompt and text to stdout as they come, and the speed to stderr', { skip }, async (t) => {
  const pieces: string[] = [];
  const io = memoryIo({ onWrite: (text) => pieces.push(text) });
  t.equal(await run([...greedy, '--prompt', prompt], io), 0, io.err());
  t.equal(io.out(), `${prompt}${continued}\n`);
  t.match(io.err(), /^12 tokens; the first after \d+ ms, then [\d.]+ tokens\/s\n$/);
  t.ok(pieces.length > tokens.length, 'a piece for each token');
});

t.test('options of the choice of tokens and of the end reach the decoder', { skip }, async (t) => {
  const stop = continued.slice(5, 8);
  const written = async (...options: string[]) => {
    const io = memoryIo();
    t.equal(await run([...greedy, '--prompt', prompt, ...options], io), 0, io.err());
    return io.out();
  };
  t.equal(await written('--stop', stop), `${prompt}${continued.slice(0, continued.indexOf(stop))}\n`);
  t.not(await written('--repetition-penalty', '100'), await written());
});

t.test('--no-eos continues after the end of text', { skip }, async (t) => {
  const ending = modelFolder('tiny-gpt2', 'tokenizer.json', gpt2Tokenizer);
  const at = 4;
  writeFileSync(join(ending, 'generation_config.json'), JSON.stringify({ eos_token_id: tokens[at] }));
  const first = tokens.indexOf(tokens[at] as number);
  const written = async (...options: string[]) => {
    const io = memoryIo();
    const args = ['generate', '--model', ending, ...greedy.slice(3), '--prompt', prompt, ...options];
    t.equal(await run(args, io), 0, io.err());
    return io.out();
  };
  t.equal(await written(), `${prompt}${loadTokenizer(gpt).decode(tokens.slice(0, first))}\n`);
  t.equal(await written('--no-eos', '--json').then((out) => out.includes('"finish":"eos"')), false);
  t.ok((await written('--no-eos')).length > (await written()).length);
});

t.test('generate takes modules with a family of models', { skip }, async (t) => {
  const module = join(temporaryFolder(), 'nothing.mjs');
  writeFileSync(module, 'export {};\n');
  const io = memoryIo();
  t.equal(await run([...greedy, '--prompt', prompt, '--import', module], io), 0, io.err());
  t.equal(io.out(), `${prompt}${continued}\n`);
});

t.test('the prompt may be piped in, also in pieces that cut a character', { skip }, async (t) => {
  const bytes = Buffer.from('Grüße, ');
  const io = memoryIo({ stdin: [bytes.subarray(0, 3), bytes.subarray(3)] });
  t.equal(await run(greedy, io), 0, io.err());
  t.ok(io.out().startsWith('Grüße, '));
});

t.test('what is piped in must be UTF-8', async (t) => {
  for (const bytes of [Uint8Array.of(0x47, 0xfc, 0x65), Uint8Array.of(0x47, 0xc3)]) {
    const io = memoryIo({ stdin: [bytes] });
    t.equal(await run(greedy, io), 1);
    t.match(io.err(), /apollo-lm: Standard input is not UTF-8 text\. Convert it/);
  }
});

t.test('--json prints one line per token, then the text; samples have numbers', { skip }, async (t) => {
  const io = memoryIo();
  t.equal(await run([...greedy, '--prompt', prompt, '--samples', '2', '--json'], io), 0, io.err());
  const lines = io.out().trimEnd().split('\n');
  const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const sample of [0, 1]) {
    const mine = events.filter((event) => event.sample === sample);
    t.same(
      mine.filter(({ type }) => type === 'token').map(({ token }) => token),
      tokens,
    );
    t.same(mine.at(-1), { type: 'text', sample, finish: 'length', text: prompt + continued });
  }
});

t.test('several samples are written one after the other', { skip }, async (t) => {
  const io = memoryIo();
  t.equal(await run([...greedy, '--prompt', prompt, '--samples', '2'], io), 0, io.err());
  const text = `${prompt}${continued}\n`;
  t.equal(io.out(), `--- sample 1 of 2\n${text}--- sample 2 of 2\n${text}`);
});

t.test('drawing is reproducible by its seed', { skip }, async (t) => {
  const drawn = async (seed: string) => {
    const io = memoryIo();
    const args = ['generate', '--model', gpt, ...common, '--prompt', 'a', '--max-tokens', '8', '--top-p', '0.95'];
    t.equal(await run([...args, '--top-k', '500', '--temperature', '0.9', '--seed', seed], io), 0, io.err());
    return io.out();
  };
  const first = await drawn('4');
  t.equal(await drawn('4'), first);
  t.not(await drawn('5'), first);
});

t.test('Ctrl-C ends the text and the process cleanly', { skip }, async (t) => {
  let written = 0;
  const io = memoryIo({
    onWrite: (_, self) => {
      if (++written === 4) self.interrupt();
    },
  });
  const args = ['generate', '--model', gpt, ...common, '--greedy', '--max-tokens', '500', '--prompt', prompt];
  t.equal(await run(args, io), 130);
  t.match(io.out(), /^Hello, world.*\n$/s);
  t.match(io.err(), /^Stopped\. \d+ tokens/);
  t.same(io.exits, []);
});

t.test('fill prints candidates with their share and sentence', { skip }, async (t) => {
  const [{ text, tokens: ids }] = fill.cases as [Answers['fill']['cases'][number]];
  const io = memoryIo();
  t.equal(await run(['fill', '--model', bert, ...common, '--top-k', '2', text], io), 0, io.err());
  const words = ids[0]!.slice(0, 2).map((id) => fill.vocab[id]!);
  const lines = io.out().trimEnd().split('\n');
  t.equal(lines.length, 2);
  for (const [i, word] of words.entries()) {
    t.match(lines[i]!, new RegExp(`^ *\\d\\.\\d %  ${word} *  the ${word} sat on the mat \\.$`));
  }
  const json = memoryIo({ stdin: [`${text}\n`] });
  t.equal(await run(['fill', '--model', bert, ...common, '--json'], json), 0, json.err());
  const { type, mask, candidates } = JSON.parse(json.out());
  t.same([type, mask, candidates.length], ['mask', 0, 5]);
});

t.test('several masks are numbered', { skip }, async (t) => {
  const io = memoryIo();
  t.equal(await run(['fill', '--model', bert, ...common, '--top-k', '1', fill.cases[1]!.text], io), 0, io.err());
  t.match(io.out(), /^mask 1 of 2\n.*\n\nmask 2 of 2\n.*\n$/);
});

t.test("a user's mistake is one message", { skip }, async (t) => {
  for (const [args, message] of [
    [['generate', '--model', join(gpt, 'nowhere'), '--prompt', 'a'], /There is no model in .*nowhere/],
    [['generate', '--prompt', 'a'], /required option '--model <folder>'/],
    [['generate', '--model', gpt], /There is no text: give --prompt, or pipe one in/],
    [['generate', '--model', bert, '--prompt', 'a'], /this model is a BERT/],
    [['generate', '--model', gpt, '--prompt', 'a', '--samples', '0'], /samples must be a positive/],
    [['generate', '--model', gpt, '--prompt', 'a', '--top-p', '2'], /topP must be above 0 and at most 1/],
    [
      ['generate', '--model', gpt, '--prompt', 'a', '--device', 'tpu'],
      /--device <name>' argument 'tpu' is invalid.* expected cpu, cuda or cuda:N/,
    ],
    [['fill', '--model', gpt, 'a [MASK]'], /this model is a GPT/],
    [['fill', '--model', bert, 'a cat'], /The text has no \[MASK\]/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run(args, io), 1, args.join(' '));
    t.match(io.err(), message);
    t.notMatch(io.err(), /\n +at /);
    t.equal(io.out(), '');
  }
  t.ok(existsSync(gpt));
});
