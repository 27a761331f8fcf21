/** Numbers as people read them, in tables, charts and on the command line. */

const prefixes: readonly (readonly [number, string])[] = [
  [1e21, 'Z'],
  [1e18, 'E'],
  [1e15, 'P'],
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** The decimal prefix that fits `value`, as [factor, letter]; [1, ''] below 1000. */
export function decimalPrefix(value: number): readonly [number, string] {
  return prefixes.find(([factor]) => Math.abs(value) >= factor * 0.9995) ?? [1, ''];
}

/** Three significant digits with a decimal prefix: 1.23e15 -> "1.23 P"; the unit follows by the caller. */
export function formatCount(value: number): string {
  const [factor, letter] = decimalPrefix(value);
  const scaled = value / factor;
  if (Number.isInteger(scaled) && Math.abs(scaled) < 1000) return `${scaled} ${letter}`.trimEnd();
  const digits = Math.abs(scaled) >= 99.95 ? 0 : Math.abs(scaled) >= 9.995 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${letter}`.trimEnd();
}

/** "1 layer", "3 layers". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** "1.23 PFLOP". */
export function formatFlops(value: number): string {
  return withUnit(value, 'FLOP');
}

/** Binary prefixes: 1536 -> "1.50 KiB". */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 'B';
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB']) {
    if (Math.abs(value) < 1024) break;
    value /= 1024;
    unit = next;
  }
  return unit === 'B' ? `${value} B` : `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${unit}`;
}

/** Milliseconds as "850 ms", "12.3 s", "4 min 05 s", "2 h 10 min", "3 d 04 h". */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return '?';
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return pair(seconds, 60, 'min', 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(minutes, 60, 'h', 'min');
  return pair(Math.round(minutes / 60), 24, 'd', 'h');
}

/** A share as percent with one decimal: 0.441 -> "44.1 %". */
export function formatPercent(share: number, digits: number = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

function withUnit(value: number, unit: string): string {
  const text = formatCount(value);
  return / [A-Za-z]$/.test(text) ? `${text}${unit}` : `${text} ${unit}`;
}

function pair(value: number, base: number, large: string, small: string): string {
  return `${Math.floor(value / base)} ${large} ${String(value % base).padStart(2, '0')} ${small}`;
}
