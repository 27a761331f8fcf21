/** `apollo-lm prepare`: reads and tokenises a corpus into the cache, and shows what came of it. */
import type { Command } from 'commander';
import type { Corpus, CorpusSource } from '../../data/index.js';
import { ApolloError } from '../../errors.js';
import { counted, formatBytes, formatCount, formatPercent } from '../../report/format.js';
import { textTable } from '../../report/table.js';
import { corpusProgress, openCorpus } from '../corpus.js';
import { interruptible, stoppedExitCode } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { loadSettings } from '../settings/config.js';
import { addSettings, dataOptions, flagsOf } from '../settings/options.js';
import { presetHelp } from '../settings/presets.js';
import type { Settings } from '../settings/schema.js';
import { Progress } from '../watch/progress.js';

/** Tokens shown of a document. */
const sampleTokens = 40;

export function prepareCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  const command = program
    .command('prepare')
    .description('read and tokenise text into the cache, where train and compare find it');
  addSettings(command, [...dataOptions, 'model', 'vocabSize'])
    .option('--samples <n>', 'documents to show per source', (text) => Number(text), 2)
    .addHelpText('after', presetHelp);
  command.action(async (parsed: Record<string, unknown>) => {
    const { samples, ...rest } = parsed as Record<string, unknown> & { samples: number };
    if (!(Number.isInteger(samples) && samples >= 0))
      throw new ApolloError('BAD_CONFIG', `--samples must be a whole number from 0; got ${samples}.`);
    const { preset, config, json } = rest as { preset?: string; config?: string; json?: boolean };
    const settings = loadSettings({ preset, config, flags: flagsOf(rest) });
    finish(await prepare(settings, { samples, json: json === true }, io));
  });
}

interface Shown {
  readonly samples: number;
  readonly json: boolean;
}

/** Prepares and shows; the exit code. */
async function prepare(settings: Settings, { samples, json }: Shown, io: CommandIo): Promise<number> {
  const progress = new Progress(io, { quiet: json && !io.stderr.isTTY });
  const notes: string[] = [];
  const speeds = new Map<string | undefined, number>(); // tokens per second, by source
  return interruptible(
    io,
    () => progress.message('Stopping: the tokenised part is being saved. Ctrl-C again exits at once.'),
    async (signal) => {
      try {
        const corpus = await openCorpus(settings, {
          signal,
          onNote(note) {
            notes.push(note);
            progress.message(note);
          },
          onProgress(state) {
            if (state.phase === 'tokenise') speeds.set(state.source, state.tokensPerSecond);
            progress.update(corpusProgress(state));
          },
        });
        progress.clear();
        for (const warning of corpus.warnings) progress.warn(warning);
        try {
          const prepared = { ...summaryOf(corpus, settings, samples, speeds), notes };
          io.stdout.write(json ? `${JSON.stringify(prepared)}\n` : `${format(prepared)}\n`);
        } finally {
          corpus.close();
        }
        return 0;
      } catch (error) {
        progress.clear();
        if (!(error instanceof ApolloError && error.code === 'ABORT_ERR')) throw error;
        io.stderr.write(
          `Stopped. Give the same command again to resume: the tokenised part is in ${settings.cache}.\n`,
        );
        return stoppedExitCode(signal);
      }
    },
  );
}

interface PreparedSource extends Pick<CorpusSource, 'name' | 'share' | 'stats'> {
  /** Absent where the tokens were in the cache. */
  readonly tokensPerSecond?: number | undefined;
  readonly samples: readonly { readonly document: number; readonly text: string }[];
}

interface Prepared {
  readonly type: 'corpus';
  readonly key: string;
  readonly cache: string;
  readonly tokenizer: { readonly kind: string; readonly vocabSize: number };
  readonly stats: Corpus['stats'];
  readonly warnings: Corpus['warnings'];
  readonly sources: readonly PreparedSource[];
  /** Files that were skipped in folders. */
  readonly notes: readonly string[];
}

function summaryOf(
  { key, tokenizer, stats, sources, warnings }: Corpus,
  { cache }: Settings,
  samples: number,
  speeds: ReadonlyMap<string | undefined, number>,
): Omit<Prepared, 'notes'> {
  return {
    type: 'corpus',
    key,
    cache,
    tokenizer: { kind: tokenizer.kind, vocabSize: tokenizer.vocabSize },
    stats,
    warnings,
    sources: sources.map((source) => ({
      name: source.name,
      share: source.share,
      stats: source.stats,
      ...(!source.stats.cached && { tokensPerSecond: speeds.get(source.name) }),
      samples: samplesOf(source, samples, (ids) => tokenizer.decode(ids)),
    })),
  };
}

/** The beginnings of some documents, spread over the source, as the tokenizer gives them back. */
function samplesOf(source: CorpusSource, count: number, decode: (ids: Int32Array) => string) {
  const { documents } = source.stats;
  const shown = Math.min(count, documents);
  return Array.from({ length: shown }, (_, i) => {
    const document = Math.floor(((i + 0.5) * documents) / shown);
    return { document, text: decode(source.document(document, sampleTokens)) };
  });
}

function format({ key, cache, tokenizer, stats, sources }: Prepared): string {
  const isMixture = sources.length > 1;
  const table = textTable([
    [
      'source',
      ...(isMixture ? ['share'] : []),
      'files',
      'size',
      'documents',
      'tokens',
      'held out',
      'skipped',
      'tokens/s',
    ],
    ...sources.map((source) => [
      source.name,
      ...(isMixture ? [formatPercent(source.share)] : []),
      String(source.stats.files),
      formatBytes(source.stats.sizeBytes),
      String(source.stats.documents),
      String(source.stats.tokens),
      String(source.stats.heldOutTokens),
      String(sum(source.stats.skipped)),
      source.tokensPerSecond === undefined ? 'from the cache' : formatCount(source.tokensPerSecond),
    ]),
  ]);
  const skipped = Object.entries(stats.skipped).map(([reason, count]) => `${count} with ${reason}`);
  const repeats = sources.map(
    ({ name, share, stats: { trainTokens } }) =>
      `${name} starts again after each ${formatCount(trainTokens / share)} tokens of training`,
  );
  return [
    table,
    '',
    ...(isMixture ? [`in all ${counted(stats.documents, 'document')}, ${stats.tokens} tokens`, ...repeats] : []),
    ...(skipped.length > 0 ? [`skipped: ${skipped.join('; ')}`] : []),
    `tokenizer: ${tokenizer.kind}, ${tokenizer.vocabSize} tokens`,
    `kept in ${cache} for train and compare with the same settings (corpus ${key})`,
    ...sources.flatMap(({ name, samples }) =>
      samples.map(({ document, text }) => `\n${name}, document ${document}: ${JSON.stringify(text)}`),
    ),
  ].join('\n');
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
