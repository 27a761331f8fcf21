/** Which files are SQuAD's training, development and test files, and what they hold as a task's data. */
import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { unpackedName } from '../../../data/read/files.js';
import { ApolloError } from '../../../errors.js';
import type { Split, SplitKind, TaskData } from '../task.js';
import { describeSkipped, readSquad, type SquadDataset, type SquadQuestion } from './dataset.js';

/** Version 2 has questions without an answer. */
export type SquadVersion = 1 | 2;

export interface SquadFileOptions {
  /** File of training questions. Default: the folder's `train*.json`. */
  readonly train?: string | undefined;
  /** File of questions to measure on. Default: the folder's `dev*.json` or `validation*.json`. */
  readonly dev?: string | undefined;
}

type Paths = Readonly<Record<SplitKind, readonly string[]>>;

const names: Readonly<Record<SplitKind, string>> = { train: 'train', evaluations: 'dev', tests: 'test' };

/** Hugging Face's datasets call the development split validation. */
const patterns: Readonly<Record<SplitKind, RegExp>> = {
  train: /^train.*\.(?:jsonl?|ndjson)$/i,
  evaluations: /^(?:dev|validation).*\.(?:jsonl?|ndjson)$/i,
  tests: /^test.*\.(?:jsonl?|ndjson)$/i,
};

/**
 * The files `train*.json`, `dev*.json` or `validation*.json`, and `test*.json` (or .jsonl, packed or not) of a folder, by name. A name that says v1 or v2
 * belongs to that version alone, so that both may be in one folder. A file in place of the folder is the training file
 * where training data are needed, else the one to measure on.
 * @throws ApolloError BAD_CORPUS where there is neither.
 */
export function squadPaths(
  path: string,
  need: readonly SplitKind[],
  version: SquadVersion,
  { train, dev }: SquadFileOptions = {},
): Paths {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) throw bad(`There is no file or folder ${path}.`);
  const given = (file: string | undefined, found: readonly string[]) => (file === undefined ? found : [file]);
  if (!status.isDirectory()) {
    const trains = need.includes('train');
    return { train: given(train, trains ? [path] : []), evaluations: given(dev, trains ? [] : [path]), tests: [] };
  }
  const other = version === 1 ? /v2/i : /v1/i;
  const found = readdirSync(path).filter((name) => !other.test(name));
  const matching = (kind: SplitKind): string[] => {
    const files = found.filter((name) => patterns[kind].test(unpackedName(name).name)).sort();
    // Of a file and its packed form only the former counts.
    const single = files.filter((name) => !files.includes(unpackedName(name).name) || unpackedName(name).name === name);
    // The splits that are measured have the names of their files.
    const twice = single.find((name, i) => single.findIndex((other) => splitName(other) === splitName(name)) < i);
    if (twice !== undefined && kind !== 'train')
      throw bad(`${path} holds several files that are called ${splitName(twice)}. Remove or rename all but one.`);
    return single.map((name) => join(path, name));
  };
  return {
    train: given(train, matching('train')),
    evaluations: given(dev, matching('evaluations')),
    tests: matching('tests'),
  };
}

/**
 * Reads what is needed; tests are there or not. Training leaves out questions whose answer is not where the file says; a note counts them.
 * @throws ApolloError BAD_CORPUS as readSquad, where files to train or measure on are needed and missing, and for v1.1 where a question has
 * no answer.
 */
export async function readSquadFiles(
  path: string,
  need: readonly SplitKind[],
  version: SquadVersion,
  options: SquadFileOptions = {},
): Promise<TaskData<SquadQuestion>> {
  const paths = squadPaths(path, need, version, options);
  for (const kind of ['train', 'evaluations'] as const) {
    if (!need.includes(kind) || paths[kind].length > 0) continue;
    // A folder to predict may hold nothing but tests.
    if (kind === 'evaluations' && need.includes('tests') && paths.tests.length > 0) continue;
    const expected = `${names[kind]}*.json or ${names[kind]}*.json.gz`;
    const flag = kind === 'train' ? '--train' : '--dev';
    const predicts =
      kind === 'evaluations' && paths.tests.length > 0 ? ' To predict its test files alone, give evaluate --out.' : '';
    throw bad(
      `${path} holds no ${expected} for SQuAD v${version === 1 ? '1.1' : '2.0'}. Name a file with ${flag}.${predicts}`,
    );
  }
  const notes: string[] = [];
  const train: SquadQuestion[] = [];
  for (const file of need.includes('train') ? paths.train : []) {
    const dataset = await readLabelled(file, 'train', version, notes);
    const usable = dataset.questions.filter(({ answers }) => answers.length === 0 || answers[0]?.start !== undefined);
    const left = dataset.questions.length - usable.length;
    if (left > 0) {
      notes.push(
        `${file}: ${left} of ${dataset.questions.length} questions are not trained on, because their answer is not ` +
          `at answer_start; the first is ${dataset.misplaced[0]}.`,
      );
    }
    train.push(...usable);
  }
  const evaluations: Split<SquadQuestion>[] = [];
  for (const file of paths.evaluations) {
    const { questions } = await readLabelled(file, 'evaluations', version, notes);
    evaluations.push({ name: splitName(file), examples: questions });
  }
  const tests: Split<SquadQuestion>[] = [];
  for (const file of need.includes('tests') ? paths.tests : []) {
    tests.push({ name: splitName(file), examples: (await readNoted(file, notes)).questions });
  }
  return { train, evaluations, tests, notes };
}

/** A file, with a note of what was left out. */
async function readNoted(file: string, notes: string[]): Promise<SquadDataset> {
  const dataset = await readSquad(file);
  if (dataset.skipped.length > 0) notes.push(`${file}: skipped: ${describeSkipped(dataset.skipped)}.`);
  return dataset;
}

/**
 * A file to train or measure on. In one of v1.1, a few questions without an answer are left out; in one of v2.0 they count as
 * without one, as in the official script.
 */
async function readLabelled(
  file: string,
  kind: 'train' | 'evaluations',
  version: SquadVersion,
  notes: string[],
): Promise<SquadDataset> {
  const dataset = await readNoted(file, notes);
  const { questions, isLabelled } = dataset;
  if (!isLabelled) throw unlabelled(file, kind, questions);
  const without = questions.filter(({ answers, impossible }) => answers.length === 0 && (version === 1 || !impossible));
  const [first] = without;
  if (first === undefined) return dataset;
  if (version === 2) {
    notes.push(
      `${file}: ${without.length} questions have no answer and are not marked as impossible (the first is ${first.id}). ` +
        'They count as questions without an answer.',
    );
    return dataset;
  }
  if (/^v?2/i.test(dataset.version) || questions.some(({ impossible }) => impossible)) {
    throw bad(`${file}: question ${first.id} has no answer, so this is not SQuAD v1.1. Use the task squad2.`);
  }
  notes.push(`${file}: skipped: ${without.length} questions without an answer (the first is ${first.id}).`);
  return { ...dataset, questions: questions.filter(({ answers }) => answers.length > 0) };
}

function unlabelled(file: string, kind: 'train' | 'evaluations', questions: readonly SquadQuestion[]): ApolloError {
  const { [kind]: name } = names;
  const purpose = kind === 'train' ? 'Training requires' : 'Evaluation requires';
  return bad(
    `${file}, the ${name} split, has no labels: none of its ${questions.length} questions has an answer or is marked as ` +
      `impossible. ${purpose} a file with answers: name it with --${name}, or correct this one. ` +
      'To predict questions without answers, call their file test*.json and give evaluate --out.',
  );
}

/** `data/dev-v2.0.json.gz` -> `dev-v2.0`: what a split is called in results. */
function splitName(path: string): string {
  return unpackedName(basename(path)).name.replace(/\.(?:jsonl?|ndjson)$/i, '');
}

function bad(message: string): ApolloError {
  return new ApolloError('BAD_CORPUS', message);
}
