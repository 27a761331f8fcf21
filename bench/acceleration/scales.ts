/** The recipes of the three scales: models, lengths, rates, and how far each is from the paper's. */
import type { SettingsInput } from '../../lib/cli/settings/schema.js';
import { createModel, type ModelConfig, parameterCount, preset } from '../../lib/models/index.js';
import { formatCount } from '../../lib/report/format.js';
import type { ScaleName } from './figure.js';

/** The paper's runs: sequences of a step, epochs, and the estimated tokens of one (method.md 4.4: 5.2e9, uncertain). */
export const paperRuns = {
  'bert-base': { tokens: 40 * 5.22e9 },
  'gpt-base': { tokens: 35 * 5.39e9 },
  'bert-large': { tokens: 5 * 5.22e9 },
} as const;
export type PaperModel = keyof typeof paperRuns;

const nanoModel = {
  hidden: 64,
  heads: 2,
  ffn: 256,
  vocabSize: 2048,
  maxPositions: 64,
  dropout: 0,
  attentionDropout: 0,
};

/** Model and length of a run; methods, data and seeds are the figure's and the caller's. */
export function recipe(scale: ScaleName, model: PaperModel): SettingsInput {
  const kind = model.startsWith('gpt') ? 'gpt' : 'bert';
  const layers = preset(model).layers;
  switch (scale) {
    case 'nano':
      return {
        model: { preset: `${kind}-nano`, ...nanoModel, layers },
        steps: 400,
        batch: 16,
        learningRate: 2e-3,
        evaluateEvery: 16,
        evaluationBatches: 8,
        checkpointEvery: 100,
      };
    case 'small':
      return {
        model: {
          preset: `${kind}-small`,
          layers,
          maxPositions: 256,
          dropout: 0,
          attentionDropout: 0,
          vocabSize: 16384,
        },
        tokens: 3e8,
        batch: 128,
        learningRate: 6e-4,
        evaluateEvery: 100,
        evaluationBatches: 16,
        checkpointEvery: 200,
      };
    case 'paper':
      return {
        model,
        tokens: paperRuns[model].tokens,
        batch: kind === 'gpt' ? 16 : 48,
        accumulation: kind === 'gpt' ? 32 : 16,
        learningRate: 1e-4,
        evaluateEvery: 2000,
        evaluationBatches: 32,
        checkpointEvery: 500,
      };
  }
}

/** "1/3,000 of the paper's parameters, 1/200,000 of its tokens" */
export function distance(config: ModelConfig, tokens: number, model: PaperModel): string {
  const parameters = (of: ModelConfig) => parameterCount(createModel(of).parameters(of.layers));
  const [own, papers] = [parameters(config), parameters(preset(model))];
  const part = (value: number, whole: number) => {
    const ratio = whole / value;
    return ratio < 1.5 ? 'as many' : `1/${ratio >= 1000 ? `${formatCount(ratio)}` : ratio.toFixed(0)} of the`;
  };
  return (
    `${formatCount(own)} parameters (${part(own, papers)} parameters of the paper's ${model}), ` +
    `${formatCount(tokens)} tokens a run (${part(tokens, paperRuns[model].tokens)} tokens)`
  );
}
