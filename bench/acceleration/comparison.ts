/** `apollo-lm compare` as a part of a figure: in its own folder, resumed where it was stopped. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processIo, type StopSignal } from '../../lib/cli/io.js';
import { run } from '../../lib/cli/run.js';
import { loadSettings } from '../../lib/cli/settings/config.js';
import type { Settings, SettingsInput } from '../../lib/cli/settings/schema.js';
import { ApolloError } from '../../lib/errors.js';
import { type Results, readResults } from '../../lib/report/results.js';

export interface RanComparison {
  readonly complete: boolean;
  readonly settings: Settings;
  /** Results so far; absent before the first evaluation. */
  readonly results?: Results;
  readonly resultsPath: string;
}

const textOf = (settings: unknown) => `${JSON.stringify(settings, undefined, 2)}\n`;

/**
 * Runs or resumes the comparison of `out`, until it is complete or the signal fires.
 * @throws ApolloError BAD_CONFIG when `out` holds a comparison with other settings, INTERNAL when it fails.
 */
export async function runComparison(
  name: string,
  settings: SettingsInput,
  { out, signal }: { readonly out: string; readonly signal: AbortSignal },
): Promise<RanComparison> {
  mkdirSync(out, { recursive: true });
  const folder = join(out, 'compare');
  const config = join(out, 'settings.json');
  const begun = existsSync(join(folder, 'settings.json'));
  if (begun && readFileSync(config, 'utf8') !== textOf(settings)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${out} holds ${name} with other settings. Name another folder with --work, or remove it.`,
    );
  }
  writeFileSync(config, textOf(settings));
  const io = {
    ...processIo(),
    onInterrupt(callback: (signal: StopSignal) => void) {
      const stop = () => callback('SIGINT');
      signal.addEventListener('abort', stop);
      return () => signal.removeEventListener('abort', stop);
    },
  };
  const code = await run(['compare', '--config', config, '--out', folder, ...(begun ? ['--resume'] : [])], io);
  if (code !== 0 && !signal.aborted) {
    throw new ApolloError('INTERNAL', `${name}: the comparison ended with exit code ${code}; see above.`);
  }
  const resultsPath = join(folder, 'results.json');
  return {
    complete: code === 0,
    settings: loadSettings({ config, flags: {} }),
    resultsPath,
    ...(existsSync(resultsPath) && { results: await readResults(resultsPath) }),
  };
}
