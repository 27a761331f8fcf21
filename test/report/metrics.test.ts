import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type MetricRecord, readMetrics } from '../../lib/report/metrics.js';
import { evaluationRecord, stepRecord } from './records.js';

const records = [stepRecord(1, { loss: null }), evaluationRecord(1, 2.5), stepRecord(2)];
const text = records.map((record) => `${JSON.stringify(record)}\n`).join('');

async function read(path: string): Promise<MetricRecord[]> {
  const found: MetricRecord[] = [];
  for await (const record of readMetrics(path)) found.push(record);
  return found;
}

t.test('records come back in their order; a file that is not there has none', async (t) => {
  const path = join(t.testdir(), 'metrics.jsonl');
  t.same(await read(path), []);
  writeFileSync(path, text);
  t.same(await read(path), records);
});

t.test('a last line that was torn is left out, a wrong one before it is named', async (t) => {
  const path = join(t.testdir(), 'metrics.jsonl');
  writeFileSync(path, text.slice(0, -20));
  t.same(await read(path), records.slice(0, 2));
  writeFileSync(path, `${text}{"type":"step"}\n${text}`);
  await t.rejects(read(path), {
    code: 'BAD_ARGUMENT',
    message: `${path}:4 is not a line of metrics: expected an object`,
  });
  writeFileSync(path, `nonsense\n${text}`);
  await t.rejects(read(path), { message: new RegExp(`^${path}:1 is not a line of metrics: `) });
});
