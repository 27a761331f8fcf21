/** Settings of the command line that the run would not use: an error, so that nobody takes them for effective. */
import { ApolloError } from '../../errors.js';
import type { Settings } from './schema.js';

/**
 * @param trains The setting that says which methods train; absent: either.
 * @throws ApolloError BAD_CONFIG for settings of a method that does not train, of a decay that the schedule does not have, or of
 * a page that is not served.
 */
export function checkUnused(
  flags: Readonly<Record<string, unknown>>,
  settings: Settings,
  trains?: 'method' | 'methods',
): void {
  const { method, methods, variants, schedule, dashboard } = settings;
  const used = new Set([...(trains === 'methods' ? [] : [method]), ...(trains === 'method' ? [] : methods)]);
  const names = [...used, ...[...used].flatMap((name) => variants[name]?.method ?? [])];
  for (const name of Object.keys((flags['methodOptions'] as object | undefined) ?? {})) {
    if (names.includes(name)) continue;
    throw new ApolloError(
      'BAD_CONFIG',
      `--set ${name}: these are settings of the method "${name}", which does not train here. Add it (--method ${name}; compare: --methods), or remove them.`,
    );
  }
  if (flags['decay'] !== undefined && (schedule === 'cosine' || schedule === 'linear')) {
    throw new ApolloError(
      'BAD_CONFIG',
      `--decay: this is a setting of the schedule "wsd", and the schedule is "${schedule}". Add --schedule wsd, or remove it.`,
    );
  }
  if (flags['dashboardKeep'] === true && dashboard === false) {
    throw new ApolloError(
      'BAD_CONFIG',
      '--dashboard-keep: this is a setting of the live page, which is not served. Add --dashboard, or remove it.',
    );
  }
}
