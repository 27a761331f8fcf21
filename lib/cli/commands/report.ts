/** `apollo-lm report`: the report of a comparison, made again from its results.json; also while it is running. */
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { analyse } from '../../report/aggregate.js';
import { readResults } from '../../report/results.js';
import type { CommandIo } from '../io.js';
import { summary, writeReport } from './compare.js';

export function reportCommand(program: Command, io: CommandIo): void {
  program
    .command('report')
    .description('write the report of a comparison again from its results.json')
    .argument('<folder>', 'the folder of the comparison, or its results.json')
    .option('--json', 'machine-readable output')
    .action(async (given: string, { json }: { json?: boolean }) => {
      const folder = basename(given) === 'results.json' ? dirname(given) : given;
      const path = join(folder, 'results.json');
      const results = await readResults(path);
      const analysis = analyse(results);
      const { html } = await writeReport(folder, results, analysis);
      if (json) io.stdout.write(`${JSON.stringify({ type: 'results', path, report: html, analysis })}\n`);
      else io.stdout.write(summary(analysis, html));
    });
}
