/** Names of the classes of GLUE's tasks in published models. */

/** Every way to say that something is not `words`: notX, non-X, un-X, X with "no" before it. */
const not = (...words: readonly string[]): string[] =>
  words.flatMap((word) => ['not', 'non', 'no', 'un', 'isnot', 'arenot'].map((prefix) => `${prefix}_${word}`));

const entailed = ['entailment', 'entailed', 'entails', 'entail'] as const;
const same = [
  'equivalent',
  'equivalence',
  'paraphrase',
  'paraphrases',
  'paraphrased',
  'duplicate',
  'duplicates',
] as const;
const alike = [...same, 'is_duplicate', 'is_paraphrase', 'same', 'similar', 'semantically_equivalent', 'yes', 'true'];
const apart = [
  ...not(...same),
  'different',
  'dissimilar',
  ...not('same', 'similar'),
  'distinct',
  'inequivalent',
  'no',
  'false',
];

export const sentiment = [
  ['negative', 'neg', 'bad', 'negative_sentiment', ...not('positive')],
  ['positive', 'pos', 'good', 'positive_sentiment', ...not('negative')],
] as const;

export const acceptability = [
  [
    'unacceptable',
    ...not('acceptable', 'grammatical', 'correct'),
    'inacceptable',
    'ungrammatical',
    'incorrect',
    'invalid',
    'no',
    'false',
  ],
  ['acceptable', 'accepted', 'grammatical', 'correct', 'valid', 'yes', 'true'],
] as const;

export const equivalence = [
  ['not_equivalent', ...apart],
  ['equivalent', ...alike],
] as const;
export const duplication = [
  ['not_duplicate', ...apart],
  ['duplicate', ...alike],
] as const;

export const inference = {
  contradiction: ['contradiction', 'contradictory', 'contradicts', 'contradict', 'contradicted', 'contra', 'c'],
  entailment: [...entailed, 'e'],
  neutral: ['neutral', 'neutrality', 'n'],
} as const;

export const twoWayInference = [
  [...entailed, 'yes', 'true'],
  ['not_entailment', ...not(...entailed), 'no', 'false'],
] as const;

export const answering = [
  [...twoWayInference[0], 'answerable', 'answer', 'contains_answer'],
  [...twoWayInference[1], ...not('answerable', 'answer')],
] as const;
