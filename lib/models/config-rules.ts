/** Rules and defaults of configurations that several families share. */
import type { ModelConfig } from './config.js';
import type { ConfigField, ModelFamily } from './family.js';

/** Heads of 64 dimensions, as many as fit best. */
export const headsOf64 = (hidden: number) => ({ heads: Math.max(1, Math.round(hidden / 64)) });

/** Dropout of BERT and GPT-2 as published. */
export const paperDropout = { dropout: 0.1, attentionDropout: 0.1 };

/** A positive whole number. */
export const whole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** Rule for a field that may be left out. */
export const optional =
  (holds: (value: unknown, config: ModelConfig) => boolean): ConfigField['holds'] =>
  (value, config) =>
    value === undefined || holds(value, config);

/** True or false, or left out. */
export const flag: ConfigField = {
  expected: () => 'true, false or left out',
  holds: optional((value) => typeof value === 'boolean'),
};

/** An optional drop probability. */
export const probability: ConfigField = {
  expected: () => 'at least 0 and below 1',
  holds: optional((value) => typeof value === 'number' && value >= 0 && value < 1),
};

/** Each head has hidden / heads dimensions. */
export const dividesHidden: ModelFamily['check'] = ({ hidden, heads }: ModelConfig, expect) => {
  let near = Math.min(heads, hidden);
  while (hidden % near !== 0) near--;
  expect(
    hidden % heads === 0,
    `heads must divide hidden (${hidden}); got ${heads}. Use ${near} heads, or another hidden.`,
  );
};
