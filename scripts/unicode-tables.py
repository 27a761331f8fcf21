"""Writes lib/data/unicode-tables.ts: which characters Python's `tokenizers` takes for what, asked one by one.

APOLLO_PYTHON scripts/unicode-tables.py > lib/data/unicode-tables.ts
"""

import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel


def normalizer(**on):
    options = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return BertNormalizer(**{**options, **on})


clean, strip, lower = normalizer(clean_text=True), normalizer(strip_accents=True), normalizer(lowercase=True)
bert, gpt = BertPreTokenizer(), ByteLevel(add_prefix_space=False)


def pieces(splitter, text):
    return len(splitter.pre_tokenize_str(text))


# Each character stands between two that do not touch it, so that rules about the ends of a text play no part.
tables = {"letters": [], "numbers": [], "punctuation": [], "deleted": [], "marks": [], "decomposed": []}
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
    small = lower.normalize_str(f"a{c}b")[1:-1]
    if small != c and len(small) == 1:
        lowered[code] = ord(small) - code


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
