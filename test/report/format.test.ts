import t from 'tap';
import { formatBytes, formatCount, formatDuration, formatFlops, formatPercent } from '../../lib/report/format.js';

t.test('counts have three digits and a decimal prefix', async (t) => {
  t.equal(formatCount(0), '0');
  t.equal(formatCount(950), '950');
  t.equal(formatCount(1234), '1.23 k');
  t.equal(formatCount(999_999), '1.00 M');
  t.equal(formatCount(12_345_678), '12.3 M');
  t.equal(formatFlops(1.234e15), '1.23 PFLOP');
  t.equal(formatFlops(12), '12 FLOP');
});

t.test('bytes use binary prefixes', async (t) => {
  t.equal(formatBytes(512), '512 B');
  t.equal(formatBytes(1536), '1.50 KiB');
  t.equal(formatBytes(91.2 * 2 ** 30), '91.2 GiB');
});

t.test('durations', async (t) => {
  t.equal(formatDuration(12.4), '12 ms');
  t.equal(formatDuration(12_340), '12.3 s');
  t.equal(formatDuration(59_990), '1 min 00 s');
  t.equal(formatDuration(245_000), '4 min 05 s');
  t.equal(formatDuration(7_800_000), '2 h 10 min');
  t.equal(formatDuration(273_600_000), '3 d 04 h');
  t.equal(formatDuration(Number.POSITIVE_INFINITY), '?');
});

t.test('percent', async (t) => {
  t.equal(formatPercent(0.4412), '44.1 %');
});
