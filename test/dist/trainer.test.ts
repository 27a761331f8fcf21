/** createTrainer in a group of ranks, and evaluations that ranks share. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from '../cli/support.js';
import { noMpi, runRanks } from './mpirun.js';

const child = fileURLToPath(new URL('./trainer-child.ts', import.meta.url));
const folder = temporaryFolder();

interface Trained {
  readonly losses: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly checkpoint: string;
  readonly contents: string;
}

interface Outcome {
  readonly fromCorpus: Trained;
  readonly given: Trained;
  readonly few: string;
}

async function train(ranks: number) {
  const at = join(folder, `${ranks}`);
  const { results, err } = await runRanks<Outcome>(ranks, at, { accumulation: 4 / ranks }, { script: child });
  return { results, err };
}

t.test('ranks that train step by step', { skip: noMpi }, async (t) => {
  const one = (await train(1)).results[0]!;
  for (const ranks of [2, 4]) {
    const { results, err } = await train(ranks);
    t.equal(results.length, ranks, err);
    for (const { fromCorpus, given } of results) {
      t.same(fromCorpus, results[0]!.fromCorpus, 'all ranks have the same losses, evaluations and checkpoint');
      t.same(given.losses, fromCorpus.losses, 'batches of their own, or those of the corpus');
      t.not(given.checkpoint, fromCorpus.checkpoint);
    }
    const { fromCorpus, few } = results[0]!;
    t.same(fromCorpus.before, one.fromCorpus.before, 'the same weights are measured to the same bits as by one rank');
    const far = [...fromCorpus.losses, ...fromCorpus.after].map((loss, i) =>
      Math.abs(loss / [...one.fromCorpus.losses, ...one.fromCorpus.after][i]! - 1),
    );
    t.ok(Math.max(...far) <= 1e-6, `${ranks} ranks: ${Math.max(...far)}`);
    t.equal(few, `step takes ${4 / ranks} micro-batches (accumulation), for there is no corpus; got 0`);
  }
});
