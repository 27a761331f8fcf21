"""Writes lib/data/tokenizer/unicode-tables.ts: which characters Python's `tokenizers` takes for what, asked one by one.

APOLLO_PYTHON scripts/unicode-tables.py > lib/data/tokenizer/unicode-tables.ts
"""

import json
import subprocess

import tokenizers
from tokenizers import Regex
from tokenizers.normalizers import NFD, NFKD, BertNormalizer, StripAccents
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Digits, Split, UnicodeScripts


def normalizer(**on):
    options = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return BertNormalizer(**{**options, **on})


clean, strip, lower = normalizer(clean_text=True), normalizer(strip_accents=True), normalizer(lowercase=True)
bert, gpt = BertPreTokenizer(), ByteLevel(add_prefix_space=False)
digits, unassigned, strip_marks = Digits(False), Split(Regex(r"\p{Cn}"), "removed"), StripAccents()
nfd, nfkd, scripts = NFD(), NFKD(), UnicodeScripts()


def pieces(splitter, text):
    return len(splitter.pre_tokenize_str(text))


# Each character stands between two that do not touch it, so that rules about the ends of a text play no part.
names = ("letters", "numbers", "punctuation", "deleted", "marks", "decomposed", "numeric", "assigned", "combining", "reordered", "inert")
tables = {name: [] for name in names}
lowered = {}
for code in range(0x110000):
    if 0xD800 <= code < 0xE000:
        continue
    c = chr(code)
    if pieces(gpt, f"a{c}b") == 1:
        tables["letters"].append(code)
    elif pieces(gpt, f"1{c}2") == 1:
        tables["numbers"].append(code)
    if pieces(bert, f"a{c}b") == 3:
        tables["punctuation"].append(code)
    if clean.normalize_str(f"a{c}b") == "ab":
        tables["deleted"].append(code)
    stripped = strip.normalize_str(f"a{c}b")[1:-1]
    if stripped == "":
        tables["marks"].append(code)
    elif stripped != c:
        tables["decomposed"].append(code)
    if pieces(digits, f"a{c}b") == 3:
        tables["numeric"].append(code)
    if pieces(unassigned, c) == 1:
        tables["assigned"].append(code)
    if strip_marks.normalize_str(f"a{c}b") == "ab":
        tables["combining"].append(code)
    # Of two marks, the one of the lower class comes first; the lowest and the highest that are kept stand for the others.
    if strip.normalize_str(f"a{c}\U0001e94a") == f"a\U0001e94a{c}" or strip.normalize_str(f"a\U0001d16d{c}") == f"a{c}\U0001d16d":
        tables["reordered"].append(code)
    small = lower.normalize_str(f"a{c}b")[1:-1]
    if small != c and len(small) == 1:
        lowered[code] = ord(small) - code

# Characters to which this machine's Node gives a decomposition, a combining class or a composition, and Python none.
node = json.loads(subprocess.check_output(["node", "-e", """
const changed = [], moved = [], parts = [];
for (let code = 0; code < 0x110000; code++) {
  if (code >= 0xd800 && code < 0xe000) continue;
  const c = String.fromCodePoint(code);
  const apart = c.normalize('NFD');
  if (c.normalize('NFKD') !== c) changed.push(code);
  if (apart !== c && c.normalize('NFC') === c) parts.push([code, ...Array.from(apart, (part) => part.codePointAt(0))]);
  if (('a' + c + '\\u0334').normalize('NFD') !== 'a' + apart + '\\u0334') moved.push(code);
  else if (('a\\u0345' + c).normalize('NFD') !== 'a\\u0345' + apart) moved.push(code);
}
console.log(JSON.stringify({ changed, moved, parts }));
"""]))
inert = {code for code in node["changed"] if nfkd.normalize_str(chr(code)) == chr(code)}
for code in node["moved"]:
    apart = nfd.normalize_str(chr(code))
    stays = nfd.normalize_str(f"a{chr(code)}\u0334") == f"a{apart}\u0334"
    if stays and nfd.normalize_str(f"a\u0345{chr(code)}") == f"a\u0345{apart}":
        inert.add(code)
for code, *parts in node["parts"]:
    if nfd.normalize_str(chr(code)) == chr(code):
        inert.add(parts[0])  # what follows it may be a mark that composes with others
tables["inert"] = sorted(inert)

# The script of each character: the number of a group, 0 for those that never split; groups are met in order.
groups, group_of = [], []


def is_together(first, second):
    return pieces(scripts, first + second) == 1


for code in range(0x110000):
    c = chr(code) if not 0xD800 <= code < 0xE000 else " "
    last = group_of[-1] if group_of else 0
    if is_together("a", c) and is_together("\u4e00", c):
        group_of.append(0)
    elif last and is_together(groups[last - 1], c):
        group_of.append(last)
    else:
        found = next((i for i, member in enumerate(groups) if is_together(member, c)), None)
        if found is None:
            found = len(groups)
            groups.append(c)
        group_of.append(found + 1)


def ranges(codes):
    result = []
    for code in codes:
        if result and result[-1][1] == code - 1:
            result[-1][1] = code
        else:
            result.append([code, code])
    return result


def base36(value):
    digits = ""
    while True:
        value, digit = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if value == 0:
            return digits


def packed(codes):
    """Ranges as `gap` or `gap.length-1` in base 36, each from the end of the one before."""
    words, end = [], 0
    for first, last in ranges(codes):
        words.append(base36(first - end) + ("" if last == first else "." + base36(last - first)))
        end = last + 1
    return words


def lines(words):
    result = [""]
    for word in words:
        if len(result[-1]) + len(word) > 108:
            result.append("")
        result[-1] += word + " "
    result[-1] = result[-1].rstrip()
    return " +\n".join(f"  '{line}'" for line in result)


about = {
    "letters": "GPT-2's \\\\p{L}.",
    "numbers": "GPT-2's \\\\p{N}.",
    "punctuation": "Characters that are a word of their own in BERT.",
    "deleted": "Characters that BERT's clean-up drops.",
    "marks": "Characters that are dropped with the accents.",
    "numeric": "The characters that the pre-tokenizer Digits takes for digits.",
    "assigned": "The characters that the library's regular expressions know; others belong to no class.",
    "combining": "Characters that the normalizer StripAccents drops.",
    "reordered": "Characters that stay when accents are dropped, and stand in canonical order then.",
    "inert": "Characters that newer versions of Unicode decompose, reorder or compose, and Python does not.",
    "decomposed": "Characters that fall into several, or another, when accents are dropped (canonical decomposition).",
}
print(f"""/**
 * Which characters Python's `tokenizers` {tokenizers.__version__} takes for what: its parts follow different versions of Unicode,
 * and Node's versions yet others. Written by scripts/unicode-tables.py; not to be edited by hand.
 *
 * A table is ranges of code points as `gap` or `gap.length-1` in base 36, each from the end of the range before.
 */""")
for name, codes in tables.items():
    text = about[name].replace("\\\\", "\\")
    print(f"\n/** {text} */\nexport const {name} =\n{lines(packed(codes))};")

newer = {}  # capitals of Unicode 16 and later, which older versions of Node leave as they are: first, last, distance
for code, distance in lowered.items():
    block = code in (0x1C89, 0xA7CB, 0xA7CC) or 0xA7CE <= code <= 0xA7DC or 0x10D50 <= code <= 0x10D65
    if block or 0x16EA0 <= code <= 0x16EB8:
        newer[code] = distance
runs = []
for code, distance in newer.items():
    if runs and runs[-1][1] == code - 1 and runs[-1][2] == distance:
        runs[-1][1] = code
    else:
        runs.append([code, code, distance])
print("\n/** Capitals added in Unicode 16 and later, as first and last code point and the distance to the small letter. */")
print("export const newCapitals: readonly (readonly [number, number, number])[] = [")
for first, last, distance in runs:
    print(f"  [0x{first:x}, 0x{last:x}, {distance}],")
print("];")

spans = []
for code, group in enumerate(group_of):
    if spans and spans[-1][1] == group:
        spans[-1][0] += 1
    else:
        spans.append([1, group])
print("\n/** Scripts as UnicodeScripts tells them apart: lengths of runs and group numbers in base 36; group 0 never splits. */")
print(f"export const scriptRuns =\n{lines([f'{base36(length)}.{base36(group)}' for length, group in spans])};")
