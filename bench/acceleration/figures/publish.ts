/** Output of every figure: result.json and figure.md. */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FigureContext } from '../figure.js';

/** Writes a file atomically. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.writing`, text);
  await rename(`${path}.writing`, path);
}

export interface Publication {
  readonly title: string;
  /** All numbers; the scale is added. */
  readonly result: Readonly<Record<string, unknown>>;
  /** Paragraphs, tables and pictures of figure.md, in this order. */
  readonly body: readonly string[];
}

export async function publish(
  { scale, out }: Pick<FigureContext, 'scale' | 'out'>,
  { title, result, body }: Publication,
): Promise<void> {
  await writeWhole(join(out, 'result.json'), `${JSON.stringify({ title, scale, ...result }, null, 2)}\n`);
  await writeWhole(join(out, 'figure.md'), `${[`## ${title}`, ...body].join('\n\n')}\n`);
}
