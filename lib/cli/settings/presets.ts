/** Whole runs by name, for `--preset`. */
import { fileURLToPath } from 'node:url';
import { ApolloError } from '../../errors.js';
import { unknownName } from '../../suggest.js';
import type { SettingsInput } from './schema.js';

/** The package's folder, from lib/cli as from dist/cli. */
export const packageRoot = fileURLToPath(new URL('../../..', import.meta.url));

interface RunPreset {
  readonly about: string;
  readonly settings: SettingsInput;
}

const presets: Readonly<Record<string, RunPreset>> = {
  sample: {
    about:
      'the sample books, a GPT of 12 layers x 64 at 11 tokens per parameter, auto against Scratch; six minutes on two cores with AVX-512 bf16',
    settings: {
      model: {
        preset: 'gpt-nano',
        layers: 12,
        hidden: 64,
        heads: 2,
        ffn: 256,
        maxPositions: 64,
        dropout: 0,
        attentionDropout: 0,
      },
      vocabSize: 2048,
      data: [`${packageRoot}data/sample`],
      methods: ['scratch', 'auto'],
      // Long enough for a rate that was tuned, and for the saving at its end not to depend on chance at its start.
      steps: 8000,
      batch: 16,
      seq: 64,
      learningRate: 4e-3,
      warmup: 200,
      schedule: 'wsd',
      evaluateEvery: 200,
      evaluationBatches: 16,
      out: 'runs/sample',
    },
  },
  smoke: {
    about: 'seconds, to see that everything works: the sample books, a GPT of 4 layers x 64',
    settings: {
      model: {
        preset: 'gpt-nano',
        layers: 4,
        hidden: 64,
        heads: 1,
        ffn: 256,
        maxPositions: 32,
        dropout: 0,
        attentionDropout: 0,
      },
      vocabSize: 512,
      data: [`${packageRoot}data/sample/conrad-typhoon.txt.gz`],
      methods: ['scratch', 'apollo'],
      steps: 40,
      batch: 4,
      seq: 32,
      learningRate: 2e-3,
      evaluateEvery: 5,
      evaluationBatches: 2,
      out: 'runs/smoke',
    },
  },
};

/** @throws ApolloError BAD_CONFIG for an unknown name. */
export function runPreset(name: string): SettingsInput {
  const found = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (found) return found.settings;
  throw new ApolloError('BAD_CONFIG', `--preset: there is no preset ${unknownName(name, Object.keys(presets))}`);
}

/** One line per preset, for the help. */
export function presetHelp(): string {
  const lines = Object.entries(presets).map(([name, { about }]) => `  ${name.padEnd(8)} ${about}`);
  return ['', 'Presets:', ...lines].join('\n');
}
