/** The decoders of a tokenizer.json: the way from tokens back to text. */

import { replacer } from './normalizers.js';
import { byteCharacters } from './pretokenize.js';
import { checkPart, isFlag, type KnownParts, type Part, partsOf, type Refuse, textOf } from './refusal.js';

/** Compared with Python's in test/data/tokenizer/pipelines.test.ts. */
export const knownDecoders: KnownParts = {
  BPEDecoder: ['suffix'],
  ByteFallback: [],
  ByteLevel: ['add_prefix_space', 'trim_offsets', 'use_regex'],
  CTC: ['pad_token', 'word_delimiter_token', 'cleanup'],
  Fuse: [],
  Metaspace: ['replacement', 'add_prefix_space', 'prepend_scheme', 'split', 'str_rep'],
  Replace: ['pattern', 'content'],
  Sequence: ['decoders'],
  Strip: ['content', 'start', 'stop'],
  WordPiece: ['prefix', 'cleanup'],
};

/** Changes the tokens step by step; joined, they are the text. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

/** Without a decoder tokens are joined by blanks. */
export function decoderOf(part: Part | null | undefined, refuse: Refuse): (tokens: readonly string[]) => string {
  if (part === null || part === undefined) return (tokens) => tokens.join(' ');
  const steps = stepsOf(part, refuse);
  return (tokens) => (tokens.length === 0 ? '' : steps(tokens).join(''));
}

/** @throws ApolloError BAD_TOKENIZER naming a part that is not known. */
function stepsOf(part: Part, refuse: Refuse): Decoder {
  switch (checkPart('decoder', part, knownDecoders, refuse)) {
    case 'BPEDecoder': {
      const suffix = part['suffix'] === undefined ? '</w>' : textOf(part, 'suffix', refuse);
      return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '));
    }
    case 'ByteFallback':
      return byteFallback;
    case 'ByteLevel':
      return (tokens) => [byteLevel(tokens)];
    case 'CTC':
      return ctc(part, refuse);
    case 'Fuse':
      return (tokens) => [tokens.join('')];
    case 'Metaspace':
      return metaspace(part, refuse);
    case 'Replace': {
      const replace = replacer(part, refuse);
      return (tokens) => tokens.map(replace);
    }
    case 'Sequence': {
      const steps = partsOf(part, 'decoders', refuse).map((step) => stepsOf(step, refuse));
      return (tokens) => steps.reduce((result, step) => step(result), tokens);
    }
    case 'Strip':
      return strip(part, refuse);
    default: {
      const prefix = part['prefix'] === undefined ? '##' : textOf(part, 'prefix', refuse);
      const cleans = isFlag(part, 'cleanup', true);
      return (tokens) =>
        tokens.map((token, i) => {
          const spelled = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
          return cleans ? cleaned(spelled) : spelled;
        });
    }
  }
}

const byteOf = new Map(byteCharacters.map((character, byte) => [character, byte]));

function byteLevel(tokens: readonly string[]): string {
  const parts = tokens.map((token) => {
    const bytes = Array.from(token, (character) => byteOf.get(character));
    return bytes.includes(undefined) ? Buffer.from(token, 'utf8') : Uint8Array.from(bytes as number[]);
  });
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(parts));
}

/** Rows of `<0x41>` become the characters that their bytes make, or as many U+FFFD. */
function byteFallback(tokens: readonly string[]): readonly string[] {
  const result: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      result.push(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes)));
    } catch {
      result.push(...bytes.map(() => '\ufffd')); // no UTF-8
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([\da-f]{2})>$/i.exec(token);
    if (byte !== null) {
      bytes.push(Number.parseInt(byte[1]!, 16));
      continue;
    }
    flush();
    result.push(token);
  }
  flush();
  return result;
}

function metaspace(part: Part, refuse: Refuse): Decoder {
  const replacement = part['replacement'] === undefined ? '\u2581' : textOf(part, 'replacement', refuse);
  const isPrepended = part['add_prefix_space'] !== false && part['prepend_scheme'] !== 'never';
  return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && isPrepended ? '' : ' '));
}

function strip(part: Part, refuse: Refuse): Decoder {
  const content = textOf(part, 'content', refuse);
  const [most, last] = [Number(part['start'] ?? 0), Number(part['stop'] ?? 0)];
  return (tokens) =>
    tokens.map((token) => {
      const characters = [...token];
      let start = 0;
      while (start < most && characters[start] === content) start++;
      let end = characters.length;
      while (characters.length - end < last && characters[end - 1] === content) end--;
      return characters.slice(start, Math.max(start, end)).join('');
    });
}

/** Neighbours that are equal count once, and pads vanish (connectionist temporal classification). */
function ctc(part: Part, refuse: Refuse): Decoder {
  const pad = part['pad_token'] === undefined ? '<pad>' : textOf(part, 'pad_token', refuse);
  const delimiter = part['word_delimiter_token'] === undefined ? '|' : textOf(part, 'word_delimiter_token', refuse);
  const cleans = isFlag(part, 'cleanup', true);
  return (tokens) =>
    tokens
      .filter((token, i) => token !== tokens[i - 1])
      .map((token) => token.replaceAll(pad, ''))
      .map((token) => (cleans ? cleaned(token).replaceAll(delimiter, ' ') : token))
      .filter((token) => token !== '');
}

/** The library's clean-up of blanks before marks, in its order. */
function cleaned(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}
