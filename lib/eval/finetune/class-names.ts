/**
 * Whose row is whose: the classes of a classifier that was fine-tuned elsewhere, found by the names that its config.json
 * gives them (`id2label`). Names are compared without case and marks and by their sense; `LABEL_n` and plain numbers are
 * places in the order of Hugging Face's `datasets`.
 */

/** Names of the classes of a task. */
export interface ClassNames {
  /** For each class of the task, in its order, what others call it; compared as `plain` spells it. */
  readonly names: readonly (readonly string[])[];
  /** For each class of the task, its number in Hugging Face's `datasets`. */
  readonly numbers: readonly number[];
}

export interface ClassOrder {
  /** For each class of the task the row of the classifier that stands for it. */
  readonly rows: readonly number[];
  /** Warning about how it was found: the names did not identify it. */
  readonly warning?: string;
}

/** A name without case, marks and blanks: `Not_Entailment` is `notentailment`. */
const plain = (name: string): string => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');

/** `LABEL_2`, `class 2` and `2` only give an index. */
const numbered = /^(?:label|class|category)?(\d+)$/;

/** The task's class that a name means; undefined where it gives none. */
function classOf(name: string, { names }: ClassNames): number | undefined {
  const spelled = plain(name);
  const found = names.findIndex((each) => each.some((known) => plain(known) === spelled));
  return found < 0 ? undefined : found;
}

/**
 * Finds the rows of a task's classes.
 * @param rows what the model calls its rows, in their order; undefined where its config.json does not define it; they then
 * are called LABEL_0, LABEL_1, …, as in transformers.
 */
export function classOrder(task: ClassNames, rows: readonly string[] | undefined): ClassOrder {
  const count = task.names.length;
  const called = rows ?? Array.from({ length: count }, (_, row) => `LABEL_${row}`);
  const classes = called.map((name) => classOf(name, task));
  if (isOrder(classes, count)) return { rows: inverse(classes) };

  // All names but one identify their class: the last one gets the remaining class.
  const unknown = classes.indexOf(undefined);
  const left = Array.from({ length: count }, (_, each) => each).filter((each) => !classes.includes(each));
  if (left.length === 1 && classes.filter((each) => each === undefined).length === 1) {
    const completed = classes.with(unknown, left[0]);
    if (isOrder(completed, count)) {
      const warning = `the name ${JSON.stringify(called[unknown])} has no known meaning; it is assumed to be the remaining class, ${task.names[left[0]!]![0]}`;
      return { rows: inverse(completed), warning };
    }
  }

  const places = called
    .map((name) => numbered.exec(plain(name))?.[1])
    .map((n) => (n === undefined ? undefined : Number(n)));
  const numbers: readonly number[] = isOrder(places, count) ? places : called.map((_, row) => row);
  const byNumber = numbers.map((number) => task.numbers.indexOf(number));
  const order = task.numbers.map((_, number) => task.names[task.numbers.indexOf(number)]![0]);
  const warning =
    `the names of its classes (${called.join(', ')}) have no known meaning; they are assumed to be in the order of Hugging ` +
    `Face's datasets: ${order.map((name, number) => `${number} ${name}`).join(', ')}`;
  return { rows: inverse(byNumber), warning };
}

/** Whether each of 0 to count - 1 occurs once. */
function isOrder(values: readonly (number | undefined)[], count: number): values is readonly number[] {
  return values.length === count && new Set(values).size === count && values.every((v) => v !== undefined && v < count);
}

const inverse = (order: readonly number[]): number[] => order.map((_, value) => order.indexOf(value));
