/**
 * GLUE (Wang et al. 2019): what its tasks share. A task is a registration: its files, its columns, its labels, its
 * metrics; one file each next to this one.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ApolloError } from '../../../errors.js';
import type { ClassNames } from '../class-names.js';
import { classification, regression } from '../heads/sequence.js';
import { accuracy, argmax, f1, matthews, pearson, spearman } from '../metrics.js';
import type { FineTuneTask, Metrics, Outputs, SplitKind } from '../task.js';
import { type Column, findTable, readTable } from './tsv.js';

export interface GlueExample {
  /** As the submission names it: the value of the index column; of labelled rows the place in the file. */
  readonly index: string;
  readonly a: string;
  readonly b?: string;
  /** A class, counted from 0, or a score. */
  readonly label?: number;
}

interface TextColumns {
  readonly a: Column;
  readonly b?: Column;
}

interface FileOf<Columns> {
  /** Name of the split in results. */
  readonly name: string;
  /** Name of the file without .tsv. */
  readonly file: string;
  readonly columns: Columns;
  /** Whether the data may come without it. */
  readonly optional?: boolean;
}

const metricFunctions = { matthews, accuracy, f1, pearson, spearman };

export interface GlueRegistration {
  readonly name: string;
  readonly title: string;
  /** Folder in the official download. */
  readonly folder: string;
  /** Labels as the files write them, in the order of their classes; or the range of a score. */
  readonly labels: readonly string[] | { readonly least: number; readonly greatest: number };
  /** Other names of the classes. */
  readonly classes?: ClassNames;
  readonly metrics: readonly [keyof typeof metricFunctions, ...(keyof typeof metricFunctions)[]];
  readonly train: Omit<FileOf<TextColumns & { readonly label: Column }>, 'name'>;
  readonly evaluations: readonly FileOf<TextColumns & { readonly label: Column }>[];
  /** `submission`: name of the file that the leaderboard takes, without .tsv. */
  readonly tests: readonly (FileOf<TextColumns & { readonly index: Column }> & { readonly submission: string })[];
  /** Lines with too few columns occur in the official files and are left out. */
  readonly skipIncomplete?: boolean;
}

type AnyFile = Omit<FileOf<TextColumns & { readonly label?: Column; readonly index?: Column }>, 'name'>;

/** The task of a registration. */
export function glueTask(registration: GlueRegistration): FineTuneTask<GlueExample> {
  const { name, title, labels, classes, metrics, evaluations, tests } = registration;
  const isScore = 'least' in labels;
  const predicted = (outputs: Outputs): number[] =>
    outputs.map(([row]) => (isScore ? (row as Float32Array)[0]! : argmax(row as Float32Array)));

  const score = (examples: readonly GlueExample[], outputs: Outputs): Metrics => {
    const predictions = predicted(outputs);
    const expected = examples.map(({ label, index }) => {
      if (label !== undefined) return label;
      throw new ApolloError('BAD_CORPUS', `${title}: example ${index} has no label to measure against.`);
    });
    return Object.fromEntries(metrics.map((metric) => [metric, metricFunctions[metric](predictions, expected)]));
  };

  return {
    name,
    title,
    metrics,
    head: isScore ? regression() : classification(labels.length),
    ...(!isScore && { labels }),
    ...(classes && { classes }),

    async read(folder, need) {
      const at = existsSync(join(folder, registration.folder)) ? join(folder, registration.folder) : folder;
      const notes: string[] = [];
      const load = async (kind: SplitKind, file: AnyFile): Promise<GlueExample[] | undefined> => {
        const path = findTable(at, file.file);
        if (path) return readExamples(path, { ...file, kind }, registration, notes);
        if (!need.includes(kind) || file.optional) return undefined;
        // A folder to predict may hold nothing but tests.
        if (kind === 'evaluations' && need.includes('tests') && tests.some((test) => findTable(at, test.file))) return;
        const test = kind === 'evaluations' && tests.find((each) => findTable(at, each.file));
        throw new ApolloError(
          'BAD_CORPUS',
          `${folder} has no ${file.file}.tsv (or .tsv.gz) of ${title}. Expected the official layout: ` +
            `${folder}/${registration.folder}/${file.file}.tsv, or ${file.file}.tsv in the folder itself.` +
            (test ? ` To predict its ${test.file}.tsv alone, give evaluate --out.` : ''),
        );
      };
      const splits = async (kind: SplitKind, files: readonly (AnyFile & { readonly name: string })[]) => {
        const found = [];
        for (const file of files) {
          const examples = await load(kind, file);
          if (examples) found.push({ name: file.name, examples });
        }
        return found;
      };
      return {
        train: (need.includes('train') && (await load('train', registration.train))) || [],
        evaluations: await splits('evaluations', evaluations),
        tests: need.includes('tests') ? await splits('tests', tests) : [],
        notes,
      };
    },

    features({ a, b, label }, encoder) {
      const sequence = encoder.encode(a, b);
      return [{ ...sequence, ...(label !== undefined && { targets: { label } }) }];
    },

    score,

    baseline(train, examples) {
      const values = train.map(({ label }) => label as number);
      if (isScore) {
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        return {
          name: 'mean score',
          metrics: score(
            examples,
            examples.map(() => [Float32Array.of(mean)]),
          ),
        };
      }
      const counts = labels.map((_, label) => values.filter((value) => value === label).length);
      const answer = Float32Array.from(counts);
      return {
        name: 'majority class',
        metrics: score(
          examples,
          examples.map(() => [answer]),
        ),
      };
    },

    predictions({ name: split, examples }, outputs) {
      const written = (value: number) =>
        isScore ? Math.min(labels.greatest, Math.max(labels.least, value)).toFixed(3) : (labels[value] as string);
      const values = predicted(outputs);
      const lines = examples.map(({ index }, i) => `${index}\t${written(values[i] as number)}`);
      const file = tests.find((test) => test.name === split)?.submission ?? `${registration.folder}-${split}`;
      return { name: `${file}.tsv`, text: `index\tprediction\n${lines.join('\n')}\n` };
    },
  };
}

/** What stands in place of a label that is not published: nothing, or -1 in Hugging Face's datasets. */
const missing = /^(?:|-|\?|-1(?:\.0+)?)$/;

async function readExamples(
  path: string,
  { columns, file, kind }: AnyFile & { readonly kind: SplitKind },
  registration: GlueRegistration,
  notes: string[],
): Promise<GlueExample[]> {
  const { skipIncomplete = false, labels, tests, title } = registration;
  const wanted = Object.fromEntries(Object.entries(columns).filter(([, column]) => column !== undefined));
  const purpose = kind === 'train' ? 'Training requires' : 'Evaluation requires';
  const advice =
    `${purpose} a ${file}.tsv with labels; take it from the official download. ` +
    'Sentences without labels can only be predicted: call their file ' +
    `${tests[0]?.file}.tsv and give evaluate --out.`;
  const { rows, incomplete } = await readTable(path, wanted, { skipIncomplete, advice: { label: advice } });
  const labelsOf = rows.map(({ values }) => (values as { label?: string }).label);
  if (labelsOf.every((label) => label !== undefined && missing.test(label))) {
    throw new ApolloError(
      'BAD_CORPUS',
      `${path}, the ${file} split, has no labels: the label is ${JSON.stringify(labelsOf[0])} in all of its ${rows.length} rows. ${advice}`,
    );
  }
  if (incomplete > 0) notes.push(`${path}: ${incomplete} incomplete lines were skipped.`);
  return rows.map(({ line, values }, place) => {
    const { a, b, label, index } = values as { a: string; b?: string; label?: string; index?: string };
    const base = { index: index ?? String(place), a, ...(b !== undefined && { b }) };
    if (label === undefined) return base;
    const value = labelValue(label, labels);
    if (value === undefined) {
      const expected =
        'least' in labels ? `a number from ${labels.least} to ${labels.greatest}` : `one of ${labels.join(', ')}`;
      throw new ApolloError(
        'BAD_CORPUS',
        `${path}, line ${line}: the label is ${JSON.stringify(label)}; ${title} has ${expected}.`,
      );
    }
    return { ...base, label: value };
  });
}

function labelValue(text: string, labels: GlueRegistration['labels']): number | undefined {
  if (!('least' in labels)) {
    const index = labels.indexOf(text);
    return index < 0 ? undefined : index;
  }
  const value = text.trim() === '' ? Number.NaN : Number(text);
  return value >= labels.least && value <= labels.greatest ? value : undefined;
}
