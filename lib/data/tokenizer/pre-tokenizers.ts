/** The pre-tokenizers of a tokenizer.json: how a normalised text falls into the pieces that a model sees. */

import { isNumeric, isPunctuation, isWhiteSpace, scriptOf } from './characters.js';
import { byteLevelText, patternOf } from './normalizers.js';
import { checkPart, isFlag, type KnownParts, type Part, partsOf, type Refuse, textOf } from './refusal.js';
import { characterPattern, literalPattern, type Pattern, regexPattern, type Stretch } from './regular-expression.js';
import { gptWordEnd, wordsOf } from './word-scanners.js';

/** Compared with Python's in test/data/tokenizer/pipelines.test.ts. */
export const knownPreTokenizers: KnownParts = {
  BertPreTokenizer: [],
  ByteLevel: ['add_prefix_space', 'trim_offsets', 'use_regex'],
  CharDelimiterSplit: ['delimiter'],
  Digits: ['individual_digits'],
  FixedLength: ['length'],
  Metaspace: ['replacement', 'add_prefix_space', 'prepend_scheme', 'split', 'str_rep'],
  Punctuation: ['behavior'],
  Sequence: ['pretokenizers'],
  Split: ['pattern', 'behavior', 'invert'],
  UnicodeScripts: [],
  Whitespace: [],
  WhitespaceSplit: [],
};

export interface Piece {
  readonly text: string;
  /** How many UTF-16 units at its start come from the first character of the whole text. */
  readonly initial: number;
}

export type PreTokenizer = (pieces: readonly Piece[]) => Piece[];

const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
type Behavior = (typeof behaviors)[number];

/** @throws ApolloError BAD_TOKENIZER naming a part that is not known. */
export function preTokenizerOf(part: Part, refuse: Refuse): PreTokenizer {
  switch (checkPart('pre_tokenizer', part, knownPreTokenizers, refuse)) {
    case 'BertPreTokenizer': {
      const blanks = splitter(characterPattern(isWhiteSpace), 'Removed');
      const marks = splitter(characterPattern(isPunctuation), 'Isolated');
      return (pieces) => marks(blanks(pieces));
    }
    case 'ByteLevel':
      return byteLevel(part);
    case 'CharDelimiterSplit':
      return splitter(literalPattern(textOf(part, 'delimiter', refuse)), 'Removed');
    case 'Digits':
      return splitter(
        characterPattern(isNumeric),
        isFlag(part, 'individual_digits', false) ? 'Isolated' : 'Contiguous',
      );
    case 'FixedLength':
      return fixedLength(part, refuse);
    case 'Metaspace':
      return metaspace(part, refuse);
    case 'Punctuation':
      return splitter(characterPattern(isPunctuation), behaviorOf(part, refuse));
    case 'Sequence': {
      const steps = partsOf(part, 'pretokenizers', refuse).map((step) => preTokenizerOf(step, refuse));
      return (pieces) => steps.reduce<Piece[]>((result, step) => step(result), [...pieces]);
    }
    case 'Split':
      return splitter(patternOf(part, refuse), behaviorOf(part, refuse), isFlag(part, 'invert', false));
    case 'UnicodeScripts':
      return unicodeScripts;
    case 'Whitespace':
      return splitter(
        regexPattern('[[:word:]\\x{200c}\\x{200d}]+|[^[:word:]\\x{200c}\\x{200d}\\s]+', refuse),
        'Removed',
        true,
      );
    default: // WhitespaceSplit
      return splitter(characterPattern(isWhiteSpace), 'Removed');
  }
}

function behaviorOf(part: Part, refuse: Refuse): Behavior {
  const behavior = part['behavior'] ?? (part.type === 'Punctuation' ? 'Isolated' : undefined);
  if (behaviors.includes(behavior as Behavior)) return behavior as Behavior;
  throw refuse(
    `its ${String(part.type)} has the behavior ${JSON.stringify(behavior ?? null)}; known are ${behaviors.join(', ')}`,
  );
}

/** The part of a piece from `start` to `end`. */
function cut({ text, initial }: Piece, start: number, end: number): Piece {
  return { text: text.slice(start, end), initial: Math.max(0, Math.min(initial, end) - start) };
}

function splitter(pattern: Pattern, behavior: Behavior, isInverted = false): PreTokenizer {
  return (pieces) => {
    const result: Piece[] = [];
    for (const piece of pieces) {
      const found = pattern(piece.text).map((stretch) => ({ ...stretch, isMatch: stretch.isMatch !== isInverted }));
      for (const { start, end } of arranged(found, behavior)) if (end > start) result.push(cut(piece, start, end));
    }
    return result;
  };
}

/** Treatment of the matches. */
function arranged(stretches: readonly Stretch[], behavior: Behavior): readonly { start: number; end: number }[] {
  switch (behavior) {
    case 'Removed':
      return stretches.filter(({ isMatch }) => !isMatch);
    case 'Isolated':
      return stretches;
    case 'Contiguous':
      return joined(stretches, (stretch, before) => stretch.isMatch === (before?.isMatch ?? false));
    case 'MergedWithPrevious':
      return joined(stretches, (stretch, before) => stretch.isMatch && !(before?.isMatch ?? false));
    default: {
      const reversed = joined(
        stretches.toReversed(),
        (stretch, before) => stretch.isMatch && !(before?.isMatch ?? false),
      );
      return reversed.reverse();
    }
  }
}

/** Joins a stretch to the one before it where `isJoined` says so; the first has none to be joined to. */
function joined(
  stretches: readonly Stretch[],
  isJoined: (stretch: Stretch, before: Stretch | undefined) => boolean,
): { start: number; end: number }[] {
  const result: { start: number; end: number }[] = [];
  let before: Stretch | undefined;
  for (const stretch of stretches) {
    const last = result.at(-1);
    if (last !== undefined && isJoined(stretch, before)) {
      last.start = Math.min(last.start, stretch.start);
      last.end = Math.max(last.end, stretch.end);
    } else {
      result.push({ start: stretch.start, end: stretch.end });
    }
    before = stretch;
  }
  return result;
}

function byteLevel(part: Part): PreTokenizer {
  const addsBlank = isFlag(part, 'add_prefix_space', true);
  const splits = isFlag(part, 'use_regex', true);
  return (pieces) =>
    pieces.flatMap((piece) => {
      const text = addsBlank && !piece.text.startsWith(' ') ? ` ${piece.text}` : piece.text;
      const words = splits ? wordsOf(text, gptWordEnd) : [text];
      return words.map((word, i) => ({ text: byteLevelText(word), initial: i === 0 ? piece.initial : 0 }));
    });
}

function fixedLength(part: Part, refuse: Refuse): PreTokenizer {
  const length = (part['length'] ?? 5) as number;
  if (!Number.isInteger(length) || length < 1) throw refuse(`its FixedLength has the length ${JSON.stringify(length)}`);
  return (pieces) =>
    pieces.flatMap((piece) => {
      const characters = [...piece.text];
      const result: Piece[] = [];
      let start = 0;
      for (let i = 0; i < characters.length; i += length) {
        const end = start + characters.slice(i, i + length).join('').length;
        result.push(cut(piece, start, end));
        start = end;
      }
      return result;
    });
}

function metaspace(part: Part, refuse: Refuse): PreTokenizer {
  const replacement = part['replacement'] === undefined ? '\u2581' : textOf(part, 'replacement', refuse);
  let scheme = (part['prepend_scheme'] ?? 'always') as string;
  if (!['always', 'first', 'never'].includes(scheme)) throw refuse(`its Metaspace has the prepend_scheme "${scheme}"`);
  if (part['add_prefix_space'] === false) {
    if (scheme !== 'never' && part['prepend_scheme'] !== undefined)
      throw refuse(
        `its Metaspace has add_prefix_space false and the prepend_scheme "${scheme}", which contradict each other`,
      );
    scheme = 'never';
  }
  const split = isFlag(part, 'split', true)
    ? splitter(literalPattern(replacement), 'MergedWithNext')
    : (pieces: readonly Piece[]) => [...pieces];
  return (pieces) =>
    split(
      pieces.map(({ text, initial }) => {
        const marked = text.replaceAll(' ', replacement);
        const isPrepended = scheme === 'always' || (scheme === 'first' && initial > 0);
        return isPrepended && !marked.startsWith(replacement) && marked !== ''
          ? { text: replacement + marked, initial: initial > 0 ? initial + replacement.length : 0 }
          : { text: marked, initial };
      }),
    );
}

/** Splits where the script changes; white space and what has no script of its own goes with what is before it. */
function unicodeScripts(pieces: readonly Piece[]): Piece[] {
  return pieces.flatMap((piece) => {
    const cuts: number[] = [];
    let last = -1; // nothing yet
    for (let i = 0; i < piece.text.length; ) {
      const code = piece.text.codePointAt(i)!;
      const script = scriptOf(code);
      if (script !== 0) {
        if (script !== last) cuts.push(i);
        last = script;
      }
      i += code > 0xffff ? 2 : 1;
    }
    // Text before the first script is dropped, as in Python.
    return cuts.map((start, i) => cut(piece, start, cuts[i + 1] ?? piece.text.length));
  });
}
