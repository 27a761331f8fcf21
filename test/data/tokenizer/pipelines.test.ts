/**
 * Every part that lib/data/tokenizer knows, and the pipelines of published tokenizers, give the ids and the text of
 * Python's `tokenizers` on a set of texts of all scripts and marks. A digest of Python's answers per pipeline, and a byte
 * of one per line, are kept in fixtures/tokenizers/text-set-answers.json; with APOLLO_PYTHON they are asked for again
 * (and with APOLLO_UPDATE=1, kept).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createTokenizer, type Tokenizer, type TokenizerDefinition } from '../../../lib/data/index.js';
import { knownDecoders } from '../../../lib/data/tokenizer/decoders.js';
import { knownPostProcessors } from '../../../lib/data/tokenizer/general-pipeline.js';
import { knownModels } from '../../../lib/data/tokenizer/models.js';
import { knownNormalizers } from '../../../lib/data/tokenizer/normalizers.js';
import { knownPreTokenizers } from '../../../lib/data/tokenizer/pre-tokenizers.js';
import { fixture } from '../support.js';
import { pipelines, texts } from './pipelines.js';

/** Output of a pipeline for a line: ids, their text, then ids and types with special tokens, of one text and of two. */
type Answer = readonly unknown[];

interface Kept {
  /** SHA-256 of all answers, cut to 16 bytes. */
  readonly digest: string;
  /** The first byte of each line's SHA-256, in base64: it says which lines differ. */
  readonly lines: string;
}

interface Golden {
  tokenizers: string;
  pipelines: Record<string, Kept>;
}

const second = 'he said the ab';
const sha256 = (data: string | Buffer): Buffer => createHash('sha256').update(data).digest();

function answerOf(tokenizer: Tokenizer, text: string, isFramed: boolean): Answer {
  const ids = [...tokenizer.encode(text)];
  const framed = isFramed ? [tokenizer.encodePair(text), tokenizer.encodePair(text, second)] : [];
  return [ids, tokenizer.decode(ids), ...framed.flatMap(({ ids, types }) => [[...ids], [...types]])];
}

function kept(answers: readonly Answer[]): Kept {
  const digests = answers.map((answer) => sha256(JSON.stringify(answer)));
  return {
    digest: sha256(Buffer.concat(digests)).subarray(0, 16).toString('hex'),
    lines: Buffer.from(digests.map((digest) => digest[0]!)).toString('base64'),
  };
}

const path = fixture('tokenizers/text-set-answers.json');
const python = process.env['APOLLO_PYTHON'];
const isUpdate = python !== undefined && process.env['APOLLO_UPDATE'] === '1';
const golden: Golden = isUpdate ? { tokenizers: '', pipelines: {} } : JSON.parse(readFileSync(path, 'utf8'));

function askPython(json: object): readonly Answer[] {
  const script = fileURLToPath(new URL('./pipeline_answers.py', import.meta.url));
  const input = JSON.stringify({ json, texts, second });
  const { stdout, stderr, status } = spawnSync(python!, [script], { input, encoding: 'utf8', maxBuffer: 1 << 29 });
  if (status !== 0) throw new Error(stderr.trim().split('\n').at(-1));
  const { version, answers } = JSON.parse(stdout) as { version: string; answers: Answer[] };
  golden.tokenizers = version;
  return answers;
}

t.test('the text set is large, and every part that is known is in a pipeline', async (t) => {
  t.ok(texts.length >= 2000, `${texts.length} lines`);
  t.equal(new Set(texts).size, texts.length, 'no line stands twice');
  const compared = JSON.stringify(pipelines.map(({ json }) => json));
  const known = { knownNormalizers, knownPreTokenizers, knownModels, knownPostProcessors, knownDecoders };
  for (const [kind, parts] of Object.entries(known))
    for (const type of Object.keys(parts)) t.ok(compared.includes(`"type":"${type}"`), `${kind}: ${type}`);
  if (!isUpdate)
    t.strictSame(
      Object.keys(golden.pipelines),
      pipelines.map(({ name }) => name),
    );
});

// Awaited: what is kept is written after it.
await t.test(`ids and text of ${pipelines.length} pipelines are those of Python's tokenizers`, async (t) => {
  for (const { name, json } of pipelines) {
    const tokenizer = createTokenizer(json as unknown as TokenizerDefinition, name);
    const ours = texts.map((text) => answerOf(tokenizer, text, json.post_processor !== null));
    const theirs = python === undefined ? undefined : askPython(json);
    if (isUpdate) golden.pipelines[name] = kept(theirs!);
    const [found, expected] = [kept(ours), golden.pipelines[name]!];
    if (theirs) t.strictSame(kept(theirs), expected, `${name}: what is kept is what Python says`);
    const [bytes, expectedBytes] = [found, expected].map(({ lines }) => Buffer.from(lines, 'base64')) as [
      Buffer,
      Buffer,
    ];
    const isEqual = (line: number): boolean =>
      theirs ? JSON.stringify(ours[line]) === JSON.stringify(theirs[line]) : bytes[line] === expectedBytes[line];
    const wrong = texts.flatMap((text, line) =>
      isEqual(line) ? [] : [{ line, text, ours: ours[line], theirs: theirs?.[line] }],
    );
    const count = `${name}: ${wrong.length} of ${texts.length} lines differ`;
    t.strictSame(wrong.slice(0, 3), [], count);
    t.equal(found.digest, expected.digest, `${name}: the digest of all answers (APOLLO_PYTHON shows which differ)`);
  }
});

if (isUpdate) {
  const lines = Object.entries(golden.pipelines).map(
    ([name, kept]) => `${JSON.stringify(name)}: ${JSON.stringify(kept)}`,
  );
  const head = `{\n"tokenizers": ${JSON.stringify(golden.tokenizers)},\n"pipelines": {\n`;
  writeFileSync(path, `${head}${lines.join(',\n')}\n}\n}\n`);
}
