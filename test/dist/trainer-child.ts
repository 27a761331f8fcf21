/** One rank that trains step by step: `trainer-child.ts TASK`. Writes what came of it as rank-N.json into the task's folder. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openGroup } from '../../lib/dist/index.js';
import { createTrainer } from '../../lib/train/index.js';
import { contentsOf, countingCorpus, openTinyDevice, tinyMethod, tinyModel, tinyOptions } from '../train/tiny.js';

const { folder, accumulation } = JSON.parse(process.argv[2]!) as { folder: string; accumulation: number };
const steps = 12;
const boundaries = { steps: [4, 8] };
const device = await openTinyDevice();
const group = await openGroup(device);
const options = { ...tinyOptions, steps, accumulation };
const method = () => tinyMethod({ totalSteps: steps, boundaries });
const size = { batch: tinyOptions.batch, seq: tinyOptions.seq, objective: tinyModel.objective };

/** Batches of the corpus, or this rank's own given to each step. */
async function trained(given: boolean, checkpointDir: string) {
  const trainer = await createTrainer(options, {
    ...{ device, group, model: tinyModel, method: method(), checkpointDir },
    ...(!given && { corpus: countingCorpus }),
  });
  const before = given ? undefined : await trainer.evaluate();
  const losses: number[] = [];
  while (!trainer.done) {
    const batches = await Promise.all(
      Array.from({ length: accumulation }, (_, i) => {
        const micro = group.rank * accumulation + i;
        const total = accumulation * group.size;
        return countingCorpus.batch({ ...size, seed: 5, step: trainer.steps, micro, accumulation: total });
      }),
    );
    losses.push((await trainer.step(given ? batches : undefined)).loss);
  }
  const checkpoint = await trainer.save();
  const after = given ? undefined : await trainer.evaluate();
  await trainer.close();
  return {
    losses,
    before: [before?.lossFull, before?.lossStage],
    after: [after?.lossFull, after?.lossStage],
    checkpoint,
    contents: await contentsOf(device, checkpoint),
  };
}

const fromCorpus = await trained(false, join(folder, 'corpus'));
const given = await trained(true, join(folder, 'given'));
const wrong = await createTrainer(options, { device, group, model: tinyModel });
const few = await wrong.step([]).catch(({ message }: Error) => message);
await wrong.close();
writeFileSync(join(folder, `rank-${group.rank}.json`), JSON.stringify({ fromCorpus, given, few }));
await group.close();
await device.close();
