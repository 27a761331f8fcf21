/**
 * Round (f): the paper's claims at 11, 44 and 174 tokens per parameter. Each of Apollo's parts is exchanged alone, all else
 * as in the paper; the methods of Figure 6 have their own defaults, and the smaller model of bert2BERT and LiGO is charged.
 */
import { budgets, type Round, run, runsOf } from './round.js';

const parts = ['apollo', 'apollo-none', 'apollo-stack'] as const;
const methods = ['stackbert', 'bert2bert', 'ligo'] as const;
const first = [42];
const small = (kind: 'gpt' | 'bert', steps: number) => run(kind, 'small', steps / 4);

export const roundF: Round = {
  name: 'f',
  title: "The paper's claims: LVPS, interpolation, and the methods of Figure 6, 8, 32 and 128 M tokens",
  runs: [
    ...([budgets['8M'], budgets['32M']] as const).flatMap((steps) =>
      (['gpt', 'bert'] as const).flatMap((kind) => [
        ...runsOf(kind, steps, parts, first),
        small(kind, steps),
        ...runsOf(kind, steps, methods, first),
      ]),
    ),
    ...(['gpt', 'bert'] as const).flatMap((kind) => [
      ...runsOf(kind, budgets['128M'], ['scratch', ...parts, 'stackbert'], first),
      small(kind, budgets['128M']),
      ...runsOf(kind, budgets['128M'], methods, first),
    ]),
  ],
  predictions: [
    {
      id: 'f1',
      text: 'GPT, 32 M tokens: LVPS ends at least 0.01 behind no sampling, all else as in the paper.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'apollo', against: 'apollo-none', atLeast: 0.01 },
    },
    {
      id: 'f2',
      text: 'BERT, 32 M tokens: LVPS ends no better than no sampling.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'apollo', against: 'apollo-none', atLeast: 0 },
    },
    {
      id: 'f3',
      text: 'GPT, 32 M tokens: interpolation and stacking, all else as in the paper, end within 0.02 of each other.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'apollo', against: 'apollo-stack', atMost: 0.02, atLeast: -0.02 },
    },
    {
      id: 'f4',
      text: 'BERT, 32 M tokens: the same within 0.05.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'apollo', against: 'apollo-stack', atMost: 0.05, atLeast: -0.05 },
    },
    {
      id: 'f5',
      text: 'GPT, 32 M tokens: StackBERT ends at least 0.02 ahead of Apollo as in the paper, with fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'stackbert', against: 'apollo', atMost: -0.02 },
    },
    {
      id: 'f6',
      text: 'BERT, 32 M tokens: StackBERT, without gates, ends within 0.1 of Apollo as in the paper.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'stackbert', against: 'apollo', atMost: 0.1, atLeast: -0.1 },
    },
    {
      id: 'f7',
      text: 'GPT, 32 M tokens: bert2BERT ends within 0.02 of Scratch over the same steps: a smaller model saves the beginning.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'bert2bert', against: 'scratch', atMost: 0.02, atLeast: -0.02 },
    },
    {
      id: 'f8',
      text: 'GPT, 32 M tokens: LiGO ends no better than bert2BERT, from the same smaller model.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'ligo', against: 'bert2bert', atLeast: 0 },
    },
    {
      id: 'f9',
      text: 'BERT, 32 M tokens: bert2BERT ends at least 0.05 ahead of Scratch over the same steps: its model starts off the plateau.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'bert2bert', against: 'scratch', atMost: -0.05 },
    },
    {
      id: 'f10',
      text: 'GPT, 128 M tokens: Apollo as in the paper ends within 0.02 of Scratch: what it loses in the first quarter fades.',
      ...{ kind: 'gpt', steps: budgets['128M'], arm: 'apollo', against: 'scratch', atMost: 0.02, atLeast: -0.02 },
    },
    {
      id: 'f11',
      text: 'BERT, 128 M tokens: Apollo as in the paper ends within 0.03 of Scratch.',
      ...{ kind: 'bert', steps: budgets['128M'], arm: 'apollo', against: 'scratch', atMost: 0.03, atLeast: -0.03 },
    },
  ],
};
