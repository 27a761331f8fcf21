import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { writeResults } from '../../lib/report/results.js';
import { comparison, record } from '../report/curves.js';
import { memoryIo, temporaryFolder } from './support.js';

t.test('report makes page, picture and table from results.json', async (t) => {
  const folder = temporaryFolder();
  const runs = [record('scratch', 1, [[10, 2]]), record('apollo', 1, [[5, 2]])];
  await writeResults(join(folder, 'results.json'), comparison(runs));
  const io = memoryIo();
  t.equal(await run(['report', folder], io), 0, io.err());
  t.match(io.out(), /apollo reached scratch's final loss of 2\.0000 with 50\.0 % fewer FLOPs/);
  for (const file of ['report.html', 'loss-flops.svg', 'table.md']) t.ok(existsSync(join(folder, file)), file);
  const again = memoryIo();
  t.equal(await run(['report', join(folder, 'results.json')], again), 0, again.err());
  t.equal(again.out(), io.out(), 'the file stands for its folder');
});

t.test('a folder without results is refused by name', async (t) => {
  const io = memoryIo();
  t.equal(await run(['report', '/nowhere'], io), 1);
  t.match(io.err(), /\/nowhere\/results\.json is not a readable results file/);
});
