/** `apollo-lm build`: builds the native engine in the installed package, for npm clients that run no install scripts. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { ApolloError } from '../../errors.js';
import { packageRoot } from '../settings/presets.js';

export function buildCommand(program: Command, finish: (exitCode: number) => void): void {
  program
    .command('build')
    .description(
      'build the native engine of this package; options are environment variables: APOLLO_BUILD, APOLLO_CMAKE_ARGS',
    )
    .action(async () => finish(await build(join(packageRoot, 'scripts/build-native.mjs'))));
}

/** Runs the build script with its output on the terminal; its exit code. */
async function build(script: string): Promise<number> {
  if (!existsSync(script))
    throw new ApolloError('INTERNAL', `The package is incomplete: ${script} is missing. Install it again.`);
  const child = spawn(process.execPath, [script], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}
