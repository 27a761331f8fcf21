/**
 * Regular expressions of a tokenizer.json, which are Oniguruma's, as JavaScript's: classes, anchors, possessive
 * quantifiers and atomic groups are rewritten. What has no equal is refused by name.
 */
import { asKnown } from './characters.js';
import type { Refuse } from './refusal.js';

/** A stretch of a text, and whether the pattern matches it; stretches follow one another and cover the text. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly isMatch: boolean;
}

export type Pattern = (text: string) => Stretch[];

/** All matches and what is between them. An empty match right behind another match does not count, as in Oniguruma. */
export function regexPattern(source: string, refuse: Refuse): Pattern {
  const regex = translated(source, refuse);
  return (text) => {
    if (text === '') return [{ start: 0, end: 0, isMatch: false }];
    const known = asKnown(text);
    const stretches: Stretch[] = [];
    let from = 0;
    let last = 0;
    let isFirst = true;
    while (from <= known.length) {
      regex.lastIndex = from;
      const match = regex.exec(known);
      if (match === null) break;
      const start = match.index;
      // JavaScript looks for an empty match inside of a pair of surrogates too, where no other match can start.
      if (isInsidePair(known, start)) {
        from = start + 1;
        continue;
      }
      const end = start + match[0].length;
      if (start === end && !isFirst && end === last) {
        from += (known.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
        continue;
      }
      if (last !== start) stretches.push({ start: last, end: start, isMatch: false });
      stretches.push({ start, end, isMatch: true });
      from = end;
      last = end;
      isFirst = false;
    }
    if (last !== text.length) stretches.push({ start: last, end: text.length, isMatch: false });
    return stretches;
  };
}

function isInsidePair(text: string, at: number): boolean {
  return at > 0 && at < text.length && text.codePointAt(at - 1)! > 0xffff;
}

/** Matches of a text taken literally. */
export function literalPattern(literal: string): Pattern {
  return (text) => {
    if (text === '' || literal === '') return [{ start: 0, end: text.length, isMatch: false }];
    const stretches: Stretch[] = [];
    let last = 0;
    for (let at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, last)) {
      if (at !== last) stretches.push({ start: last, end: at, isMatch: false });
      last = at + literal.length;
      stretches.push({ start: at, end: last, isMatch: true });
    }
    if (last !== text.length) stretches.push({ start: last, end: text.length, isMatch: false });
    return stretches;
  };
}

/** Each character that `isIn` accepts is a match of its own. */
export function characterPattern(isIn: (code: number) => boolean): Pattern {
  return (text) => {
    if (text === '') return [{ start: 0, end: 0, isMatch: false }];
    const stretches: Stretch[] = [];
    let last = 0;
    for (let i = 0; i < text.length; ) {
      const code = text.codePointAt(i)!;
      const next = i + (code > 0xffff ? 2 : 1);
      if (isIn(code)) {
        if (last < i) stretches.push({ start: last, end: i, isMatch: false });
        stretches.push({ start: i, end: next, isMatch: true });
        last = next;
      }
      i = next;
    }
    if (last < text.length) stretches.push({ start: last, end: text.length, isMatch: false });
    return stretches;
  };
}

/** U+0295 is a small letter to Oniguruma. Newer versions of Unicode, and so of Node, have it among the other letters. */
const small = (property: string): string => `\\p{${property}}\\u{295}`;

/** Contents of Oniguruma's classes, as the inside of a JavaScript class. */
const posixClasses: Readonly<Record<string, string>> = {
  alpha: '\\p{Alphabetic}',
  alnum: '\\p{Alphabetic}\\p{Nd}',
  digit: '\\p{Nd}',
  space: '\\p{White_Space}',
  upper: '\\p{Uppercase}',
  lower: small('Lowercase'),
  punct: '\\p{P}\\p{S}',
  cntrl: '\\p{Cc}',
  xdigit: '\\p{ASCII_Hex_Digit}',
  blank: '\\p{Zs}\\t',
  word: '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}',
  graph: '[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]',
  print: '[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]\\p{Zs}',
};
/** \w and \p{Word} outside of a class (²³¹¼½¾ too). Inside of one Oniguruma uses another table, which lacks those six. */
const bareWord = `${posixClasses['word']}\\xb2\\xb3\\xb9\\xbc-\\xbe`;
const escapedClasses: Readonly<Record<string, string>> = {
  w: posixClasses['word']!,
  d: '\\p{Nd}',
  s: '\\p{White_Space}',
  h: '\\p{ASCII_Hex_Digit}',
};
const escapedCharacters: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7, e: 27 };

/** Names that \p{…} may have in addition to those of scripts: general categories, and properties that are named alike. */
const properties = new Set(
  (
    'L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cn ' +
    'Letter Mark Number Punctuation Symbol Separator Other Alphabetic Uppercase Lowercase White_Space Emoji Ideographic'
  ).split(' '),
);

/** Properties that hold something else here: [[:punct:]] has the symbols, \p{Punct} has not. */
const ownProperties: Readonly<Record<string, string>> = {
  any: '\\s\\S',
  punct: '\\p{P}',
  ll: small('Ll'),
  lo: '[\\p{Lo}--\\u{295}]',
  lowercase: small('Lowercase'),
};

/** Pairs of ASCII letters that a single character matches where case does not count (ß, ﬀ, ﬁ, ﬂ, ﬅ). */
const ligatures = /ss|ff|fi|fl|st/i;

interface Options {
  readonly ignoresCase: boolean;
  readonly dotAll: boolean;
}

function translated(source: string, refuse: Refuse): RegExp {
  const reader = new Reader(source, (what) =>
    refuse(`its regular expression ${JSON.stringify(source)} has ${what}, which cannot be run here`),
  );
  const body = reader.alternatives({ ignoresCase: false, dotAll: false });
  if (reader.at < source.length) throw reader.refuse('a ")" without "("');
  try {
    return new RegExp(body, 'gv');
  } catch (error) {
    throw refuse(`its regular expression ${JSON.stringify(source)} cannot be run here (${(error as Error).message})`);
  }
}

/** Reads a pattern from left to right and writes JavaScript's. */
class Reader {
  at = 0;
  #atomics = 0;

  constructor(
    readonly source: string,
    readonly refuse: (what: string) => Error,
  ) {}

  /** Up to the end of the group; options that are set in its middle hold to there. */
  alternatives(options: Options): string {
    let current = options;
    let out = '';
    let letters = '';
    let closing = ''; // an option in the middle of a group opens a group of its own around what follows
    while (this.at < this.source.length && this.source[this.at] !== ')') {
      const start = this.at;
      if (this.source[this.at] === '|') {
        this.at++;
        out += '|';
        letters = '';
        continue;
      }
      const set = this.#optionsHere(current);
      if (set !== undefined) {
        current = set;
        out += '(?:';
        closing += ')';
        continue;
      }
      const atom = this.#atom(current);
      const character = this.source.slice(start, this.at);
      letters = /^[a-z]$/i.test(character) ? letters + character : '';
      if (current.ignoresCase && ligatures.test(letters))
        throw this.refuse(`the letters ${JSON.stringify(letters)} without regard to case`);
      out += this.#quantified(atom);
    }
    return out + closing;
  }

  /** `(?i)` and the like, which hold for the rest of the group. */
  #optionsHere(options: Options): Options | undefined {
    const found = /^\(\?([imx]*)(?:-([imx]*))?\)/.exec(this.source.slice(this.at));
    if (found === null) return undefined;
    this.at += found[0].length;
    return this.#changed(options, found[1]!, found[2] ?? '');
  }

  #changed(options: Options, on: string, off: string): Options {
    if (on.includes('x')) throw this.refuse('the option x');
    return {
      ignoresCase: on.includes('i') || (options.ignoresCase && !off.includes('i')),
      dotAll: on.includes('m') || (options.dotAll && !off.includes('m')),
    };
  }

  #atom(options: Options): string {
    const character = String.fromCodePoint(this.source.codePointAt(this.at)!);
    this.at += character.length;
    switch (character) {
      case '\\':
        return this.#escape(options);
      case '[':
        return this.#class(options);
      case '(':
        return this.#group(options);
      case '.':
        return options.dotAll ? '[\\s\\S]' : '[^\\n]';
      case '^':
        return '(?:(?<![\\s\\S])|(?<=\\n)(?=[\\s\\S]))';
      case '$':
        return '(?:(?=\\n)|(?![\\s\\S]))';
      case '*':
      case '+':
      case '?':
        throw this.refuse(`${JSON.stringify(character)} with nothing before it`);
      default:
        return this.#literal(character.codePointAt(0)!, options);
    }
  }

  #literal(code: number, { ignoresCase }: Options): string {
    if (!ignoresCase) return escaped(code);
    if (code > 0x7f) throw this.refuse(`${JSON.stringify(String.fromCodePoint(code))} without regard to case`);
    const variants = otherCases(String.fromCodePoint(code)).map((other) => escaped(other.codePointAt(0)!));
    return variants.length === 0 ? escaped(code) : `[${escaped(code)}${variants.join('')}]`;
  }

  #group(options: Options): string {
    const rest = this.source.slice(this.at);
    if (rest.startsWith('?#')) {
      const end = rest.indexOf(')');
      if (end < 0) throw this.refuse('a comment without an end');
      this.at += end + 1;
      return '(?:)';
    }
    const special = /^\?(?:([imx]*)(?:-([imx]*))?:|(=|!|<=|<!|>)|<[A-Za-z_]\w*>)/.exec(rest);
    if (rest.startsWith('?') && special === null) throw this.refuse(`the group "(${rest.slice(0, 3)}"`);
    if (special !== null) this.at += special[0].length;
    const inner = this.alternatives(this.#changed(options, special?.[1] ?? '', special?.[2] ?? ''));
    if (this.source[this.at] !== ')') throw this.refuse('a "(" without ")"');
    this.at++;
    const kind = special?.[3];
    if (kind === '>') return this.#atomic(inner);
    return kind === undefined ? `(?:${inner})` : `(?${kind}${inner})`;
  }

  /** A look-ahead is never gone back into, so what it captured is an atomic group. */
  #atomic(inner: string): string {
    const name = `a${this.#atomics++}`;
    return `(?:(?=(?<${name}>${inner}))\\k<${name}>)`;
  }

  #quantified(atom: string): string {
    let out = atom;
    for (;;) {
      const found = /^(?:([*+?])([?+]?)|(\{\d+(?:,\d*)?\}|\{,\d+\})([?+]?))/.exec(this.source.slice(this.at));
      if (found === null) return out;
      this.at += found[0].length;
      const [, sign, how, interval, after] = found;
      if (interval !== undefined) {
        if (after === '+' || (after === '?' && !interval.includes(','))) throw this.refuse(`"${interval}${after}"`);
        out = `(?:${out})${interval.replace('{,', '{0,')}${after}`;
      } else if (how === '+') {
        out = this.#atomic(`(?:${out})${sign}`);
      } else {
        out = `(?:${out})${sign}${how}`;
      }
    }
  }

  #escape(options: Options): string {
    const letter = this.source[this.at++];
    if (letter === undefined) throw this.refuse('a "\\" at its end');
    const word = `[${bareWord}]`;
    switch (letter) {
      case 'A':
        return '(?<![\\s\\S])';
      case 'z':
        return '(?![\\s\\S])';
      case 'Z':
        return '(?=\\n?(?![\\s\\S]))';
      case 'b':
        return `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`;
      case 'B':
        return `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`;
      case 'R':
        return this.#atomic('\\r\\n|[\\n-\\r\\x85\\u2028\\u2029]');
      case 'N':
        return '[^\\n]';
      case 'O':
        return '[\\s\\S]';
      default: {
        const set = this.#setEscape(letter, bareWord);
        if (set !== undefined) return `[${set}]`;
        return this.#literal(this.#characterEscape(letter), options);
      }
    }
  }

  /** The inside of a class for \w, \p{…} and the like, with what \w holds here; undefined for one character. */
  #setEscape(letter: string, word: string): string | undefined {
    const lower = letter.toLowerCase();
    if (Object.hasOwn(escapedClasses, lower)) {
      const inside = lower === 'w' ? word : escapedClasses[lower]!;
      return letter === lower ? inside : `[^${inside}]`;
    }
    if (lower !== 'p') return undefined;
    const found = /^\{(\^?)([^}]*)\}/.exec(this.source.slice(this.at));
    if (found === null) throw this.refuse(`"\\${letter}" without a name in braces`);
    this.at += found[0].length;
    const inside = found[2]!.toLowerCase() === 'word' ? word : this.#property(found[2]!);
    return (letter === 'P') !== (found[1] === '^') ? `[^${inside}]` : inside;
  }

  #property(name: string): string {
    const own = { ...posixClasses, ...ownProperties }[name.toLowerCase()];
    if (own !== undefined) return own;
    for (const property of properties) if (property.toLowerCase() === name.toLowerCase()) return `\\p{${property}}`;
    const script = `\\p{Script=${name[0]?.toUpperCase()}${name.slice(1).toLowerCase()}}`;
    try {
      new RegExp(script, 'v');
      return script;
    } catch {
      throw this.refuse(`the property ${JSON.stringify(name)}`);
    }
  }

  /** The code point of an escape such as \n, \x41 or \u4e00. */
  #characterEscape(letter: string): number {
    const rest = this.source.slice(this.at);
    const hexadecimal =
      letter === 'x' ? /^(?:\{([\da-f]{1,6})\}|([\da-f]{2}))/i : letter === 'u' ? /^()([\da-f]{4})/i : undefined;
    if (hexadecimal !== undefined) {
      const found = hexadecimal.exec(rest);
      const code = found === null ? Number.NaN : Number.parseInt(found[1] || found[2]!, 16);
      if (!(code <= 0x10ffff)) throw this.refuse(`"\\${letter}" without the digits of a character`);
      this.at += found![0].length;
      return code;
    }
    if (Object.hasOwn(escapedCharacters, letter)) return escapedCharacters[letter]!;
    if (letter === '0') {
      const octal = /^[0-7]{0,2}/.exec(rest)![0];
      this.at += octal.length;
      return Number.parseInt(octal || '0', 8);
    }
    if (/[A-Za-z1-9]/.test(letter)) throw this.refuse(`"\\${letter}"`);
    const low = rest.charCodeAt(0);
    const high = letter.charCodeAt(0);
    if (high >= 0xd800 && high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff) {
      this.at++;
      return (letter + rest[0]).codePointAt(0)!;
    }
    return high;
  }

  /** A class after its "[". Case is seen to at the outermost one, where all that it holds is known. */
  #class({ ignoresCase }: Options): string {
    const isNegated = this.source[this.at] === '^';
    if (isNegated) this.at++;
    if (this.source[this.at] === ']') throw this.refuse('a class that starts with "]"');
    const operands = [''];
    for (;;) {
      if (this.at >= this.source.length) throw this.refuse('a "[" without "]"');
      if (this.source[this.at] === ']') break;
      if (this.source.startsWith('&&', this.at)) {
        this.at += 2;
        operands.push('');
        continue;
      }
      operands[operands.length - 1] += this.#classItem();
    }
    this.at++;
    const inside = operands.length === 1 ? operands[0] : operands.map((operand) => `[${operand}]`).join('&&');
    const sign = isNegated ? '^' : '';
    return ignoresCase ? `[${sign}[${inside}]${this.#otherCases(`[${inside}]`, isNegated)}]` : `[${sign}${inside}]`;
  }

  /** The characters outside of a class that are another case of one inside. */
  #otherCases(set: string, isNegated: boolean): string {
    const inside = new RegExp(set, 'v');
    let out = '';
    for (const { key, members } of caseGroups()) {
      const found = members.filter((member) => inside.test(member));
      if (found.length === 0) continue;
      // Oniguruma lets [ß] match "ss" here, and only then.
      if (!isNegated && [...key].length > 1)
        throw this.refuse(
          `a class without regard to case that holds ${JSON.stringify(found[0])}, several letters in capitals`,
        );
      for (const member of members) if (!found.includes(member)) out += escaped(member.codePointAt(0)!);
    }
    return out;
  }

  #classItem(): string {
    const rest = this.source.slice(this.at);
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(rest);
    if (posix !== null) {
      const inside = posixClasses[posix[2]!];
      if (inside === undefined) throw this.refuse(`the class ${posix[0]}`);
      this.at += posix[0].length;
      return posix[1] === '^' ? `[^${inside}]` : inside;
    }
    if (rest.startsWith('[')) {
      this.at++;
      return this.#class({ ignoresCase: false, dotAll: false });
    }
    const first = this.#classCharacter();
    if (typeof first === 'string') return first;
    let last = first;
    const isRange =
      this.source[this.at] === '-' && this.source[this.at + 1] !== ']' && this.at + 1 < this.source.length;
    if (isRange) {
      this.at++;
      const end = this.source[this.at] === '[' ? '' : this.#classCharacter();
      if (typeof end === 'string' || end < first) throw this.refuse('a range in a class that has no end');
      last = end;
    }
    return first === last ? escaped(first) : `${escaped(first)}-${escaped(last)}`;
  }

  /** A code point, or the inside of a class for an escape such as \s. */
  #classCharacter(): number | string {
    const code = this.source.codePointAt(this.at)!;
    this.at += code > 0xffff ? 2 : 1;
    if (code !== 0x5c) return code;
    const letter = this.source[this.at++];
    if (letter === undefined) throw this.refuse('a "\\" at its end');
    if (letter === 'b') return 8;
    return this.#setEscape(letter, escapedClasses['w']!) ?? this.#characterEscape(letter);
  }
}

/** A character that stands for itself inside and outside of a class. */
function escaped(code: number): string {
  return /[A-Za-z0-9]/.test(String.fromCodePoint(code)) && code < 0x80
    ? String.fromCodePoint(code)
    : `\\u{${code.toString(16)}}`;
}

/** The other cases of an ASCII letter, with ſ and the Kelvin sign, which are cases of s and k. */
function otherCases(character: string): string[] {
  const group = caseGroups().find(({ members }) => members.includes(character));
  return group === undefined ? [] : group.members.filter((member) => member !== character);
}

/** Characters that are cases of one another: their capitals are the same. */
interface CaseGroup {
  readonly key: string;
  readonly members: readonly string[];
}

let groups: readonly CaseGroup[] | undefined;

/** Made at the first use: few tokenizers have a class or a letter without regard to case. */
function caseGroups(): readonly CaseGroup[] {
  if (groups !== undefined) return groups;
  const byKey = new Map<string, string[]>();
  for (let code = 0; code < 0x20000; code++) {
    const character = String.fromCodePoint(code);
    // ı is a case of i in Turkish alone.
    if (character === 'ı' || !/\p{Changes_When_Casemapped}/u.test(character) || asKnown(character) !== character)
      continue;
    const key = character.toLowerCase().toUpperCase();
    byKey.set(key, [...(byKey.get(key) ?? []), character]);
  }
  groups = [...byKey].map(([key, members]) => ({ key, members }));
  return groups;
}
