"""Writes test/fixtures/tokenizers/text-set.json.gz: lines of all scripts and marks, made from Unicode's own tables.

Usage: python scripts/fixtures-tokenizer-texts.py   (needs nothing but Python; the same Python writes the same file)

The file also holds the characters that only the decomposed and lower-case forms of the lines have: the vocabularies of
test/data/tokenizer/pipelines.ts are made of both, so that they do not depend on the Unicode version of a Node.
"""
import gzip
import itertools
import json
import pathlib
import random
import re
import unicodedata

rng = random.Random(14)
lines = []
category = unicodedata.category
codes = [code for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]


def add(*texts):
    lines.extend(texts)


def word(characters, shortest=2, longest=6):
    return "".join(rng.choice(characters) for _ in range(rng.randint(shortest, longest)))


def spread(items, count):
    """At most `count` of them, evenly from first to last."""
    return items if len(items) <= count else [items[i * len(items) // count] for i in range(count)]


def chunks(items, size):
    return [items[i : i + size] for i in range(0, len(items), size)]


# Ways to lay characters out, so that each is next to letters, digits, marks and blanks.
layouts = [
    lambda cs: "".join(cs),
    lambda cs: " ".join(cs),
    lambda cs: "".join(f"a{c}b" for c in cs),
    lambda cs: "".join(f"{c}1" for c in cs),
    lambda cs: "".join(f" {c}!" for c in cs),
    lambda cs: "\u0301".join(cs),
]

# 1. Every script, by the names of its characters: letters as words, in both cases, with digits, marks, punctuation.
kinds = (
    "LETTER|LETTERS|SYLLABLE|SYLLABICS|SIGN|VOWEL|CHARACTER|HIEROGLYPH|IDEOGRAPH|CAPITAL|SMALL|DIGIT|NUMBER|MARK|TONE|"
    "SYMBOL|NUMERIC|LIGATURE|CONSONANT|FRACTION|LOGOGRAM|COMBINING|SUBJOINED|CHOSEONG|JUNGSEONG|JONGSEONG"
)
scripts = {}
for code in codes:
    c = chr(code)
    if category(c)[0] in "LMN":
        name = unicodedata.name(c, "TANGUT IDEOGRAPH")  # those are named by rule, and not in the table
        prefix = re.split(rf" (?:{kinds})\b|-", name)[0]
        scripts.setdefault(prefix if prefix != name else name.split(" ")[0], []).append(c)
marks = "\u0301\u0323\u0308\u0345"
for members in scripts.values():
    letters = [c for c in members if category(c)[0] == "L"]
    if len(letters) < 4:
        continue
    numbers = [c for c in members if category(c)[0] == "N"] or list("0123456789")
    accents = [c for c in members if category(c)[0] == "M"] or list(marks)
    one, two, three = (word(letters) for _ in range(3))
    text = f"{one} {two}, {three}."
    add(text)
    add(*{form: None for form in (text.upper(), text.lower(), text.title()) if form != text})
    add(f"{word(letters)}{word(numbers, 1, 3)}{word(letters)} {word(numbers, 2, 5)}-{word(letters)}_({word(letters)})")
    add(" ".join("".join(c + word(accents, 0, 2) for c in word(letters)) for _ in range(3)))
    add(f"a{word(letters)}b {word(letters)}'s{word(letters)}\u2019{word(letters)} <x>{word(letters)}<x>  {word(letters)}")

# 2. Every general category.
by_category = {}
for code in codes:
    by_category.setdefault(category(chr(code)), []).append(chr(code))
for members in by_category.values():
    for i, chosen in enumerate(chunks(spread(members, 100), 10)):
        add(layouts[i % len(layouts)](chosen))

# 3. Every second character outside of the large blocks of ideographs and syllables, and a part of those.
large = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x17000, 0x18CD5), (0xE000, 0xF8FF), (0x13000, 0x1342E)]
large += [(0x12000, 0x12543), (0x14400, 0x14646), (0x16800, 0x16A38), (0x1B170, 0x1B2FB), (0xA000, 0xA48C)]
large += [(0x20000, 0x2F7FF), (0x30000, 0x3FFFF), (0xF0000, 0x10FFFF)]
outside = [c for c in map(chr, codes) if category(c) != "Cn" and not any(a <= ord(c) <= b for a, b in large)]
for i, chosen in enumerate(chunks(outside[::2], 36)):
    add(layouts[i % len(layouts)](chosen))
for first, last in large:
    members = [chr(code) for code in range(first, last + 1) if category(chr(code)) != "Cn"]
    for i, chosen in enumerate(chunks(spread(members, 60), 20)):
        add(layouts[i % len(layouts)](chosen))

# 4. Code points that no version assigns, and those that versions of Unicode after 14 assign.
newer = [(0x088F, 0x088F), (0x0897, 0x0897), (0x0C5C, 0x0C5C), (0x0CDC, 0x0CDC), (0x0CF3, 0x0CF3), (0x0ECE, 0x0ECE)]
newer += [(0x1ACF, 0x1AEB), (0x1C89, 0x1C8A), (0x20C1, 0x20C1), (0xA7CB, 0xA7DC), (0x105C0, 0x105F3), (0x10940, 0x10959)]
newer += [(0x10D40, 0x10D8F), (0x10EC2, 0x10EFF), (0x11240, 0x11241), (0x11380, 0x113E2), (0x116D0, 0x116E3)]
newer += [(0x11B00, 0x11B09), (0x11B60, 0x11B67), (0x11BC0, 0x11BF9), (0x11DB0, 0x11DE9), (0x11F00, 0x11F5A)]
newer += [(0x1342F, 0x13455), (0x16100, 0x16139), (0x16D40, 0x16D79), (0x16EA0, 0x16EDB), (0x1B132, 0x1B155)]
newer += [(0x1CCF0, 0x1CCF9), (0x1D2C0, 0x1D2D3), (0x1E4D0, 0x1E4F9), (0x1E5D0, 0x1E5FF), (0x1E6C0, 0x1E6F5)]
newer += [(0x1DF25, 0x1DF2A), (0x1FA75, 0x1FA77), (0x1FAE8, 0x1FAF8), (0x2EBF0, 0x2EBFF), (0x31350, 0x3135F)]
newer += [(0x13460, 0x13470), (0x323B0, 0x323BF), (0x18CFF, 0x18D08), (0x18D80, 0x18D8F), (0x1C80, 0x1C88)]
for i, (first, last) in enumerate(newer):
    for chosen in chunks([chr(code) for code in range(first, last + 1)], 16):
        add(layouts[i % len(layouts)](chosen))
        add("".join(f"e{c}\u0301\u0334" for c in chosen))
for i, chosen in enumerate(chunks(spread(by_category["Cn"], 480), 16)):
    add(layouts[i % len(layouts)](chosen))
add(*(layouts[i % 6](chosen) for i, chosen in enumerate(chunks([chr(p << 16 | 0xFFFE | b) for p in range(17) for b in (0, 1)], 12))))

# 5. Marks in all orders: canonical reordering, composed and decomposed forms, Hangul in jamo.
by_class = {}
for code in codes:
    if unicodedata.combining(chr(code)):
        by_class.setdefault(unicodedata.combining(chr(code)), []).append(chr(code))
classes = sorted(by_class)
for number in classes:
    first = rng.choice(by_class[number])
    others = [rng.choice(by_class[other]) for other in rng.sample(classes, 3)]
    add(" ".join(f"{base}{''.join(order)}" for base, order in zip("aoA\u05d0\u0e01\u0915\u1100", itertools.permutations([first, *others]))))
    add("".join(rng.sample(by_class[number], min(8, len(by_class[number])))) + "x" + first * 3 + " " + first)
for base in "aAoOuUeEiIsSzZ\u03b1\u0391\u03c9\u0430\u0418\u0627\u05d0":
    found = [" ".join(base + "".join(order) for order in itertools.permutations(chosen)) for chosen in (rng.sample("\u0301\u0323\u0308\u0302\u0328\u0345\u0327\u031b", 3) for _ in range(2))]
    add(*found)
composed = [chr(code) for code in codes if unicodedata.decomposition(chr(code)) and not 0xAC00 <= code <= 0xD7A3]
for i, chosen in enumerate(chunks(spread(composed, 720), 18)):
    form = ("NFC", "NFD", "NFKC", "NFKD")[i % 4]
    add(unicodedata.normalize(form, "".join(chosen) + " " + " ".join(chosen)))
syllables = spread([chr(code) for code in range(0xAC00, 0xD7A4)], 60)
for chosen in chunks(syllables, 10):
    text = "".join(chosen)
    apart = unicodedata.normalize("NFD", text)
    add(text, apart, " ".join(apart), apart[::-1], "\u0301".join(chosen), "".join(c + "\u11a8" for c in chosen))
add("\u1100\u1161\u11a8\u11a8", "\u1100\u1100\u1161", "\u1161\u1100", "\uac00\u11a7", "\uac01\u11a8", "\u115f\u1160\u3164\uffa0", "\ua960\ud7b0\ud7cb")

# 6. Chinese, Japanese, Korean: extensions, compatibility forms, half and full width.
for first, last in [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAD9), (0x20000, 0x2A6DF), (0x2A700, 0x2B738), (0x2B740, 0x2B81D), (0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x2F800, 0x2FA1D), (0x30000, 0x3134A), (0x3040, 0x30FF), (0x31F0, 0x33FF), (0xFF00, 0xFFEF), (0x2E80, 0x2FDF)]:
    members = [chr(code) for code in range(first, last + 1) if category(chr(code)) != "Cn"]
    add(word(members, 12, 12), " ".join(word(members, 1, 3) for _ in range(5)), f"a{word(members)}1{word(members)}\u3002{word(members)}\uff01 {word(members)}B")
add("日本語のテストです。", "東京都に住んでいます、たぶん。", "ｱｲｳｴｵ ｶﾞｷﾞｸﾞ ﾊﾟﾋﾟﾌﾟ", "カ\u3099キ\u3099ハ\u309a か\u3099", "中文测试，没有空格！", "繁體中文「測試」", "한국어 테스트, 띄어쓰기.", "ＡＢＣ　ａｂｃ　１２３　！？", "㍿㌀㍻㋿㈱", "葛\U000e0100城市 葛\U000e0101飾区", "神\ufa19社 \u795e\u793e", "〇一二三四五六七八九十百千万", "々〻ゝゞヽヾー〜")

# 7. Emoji: joined, with selectors, skin tones, flags, keycaps, tags.
people = ["\U0001f468", "\U0001f469", "\U0001f9d1", "\U0001f466", "\U0001f467", "\u270a", "\U0001f44d"]
tones = [chr(code) for code in range(0x1F3FB, 0x1F400)]
things = ["\U0001f4bb", "\U0001f52c", "\u2695\ufe0f", "\u2696\ufe0f", "\U0001f692", "\u2764\ufe0f\u200d\U0001f48b"]
for person in people:
    add(" ".join(person + tone for tone in tones), "".join(person + tone for tone in tones) + person + "\ufe0f" + person + "\ufe0e")
    add(" ".join(f"{person}{rng.choice(tones)}\u200d{thing}" for thing in things), "\u200d".join(rng.sample(people, 4)))
letters = [chr(code) for code in range(0x1F1E6, 0x1F200)]
for chosen in chunks(letters, 6):
    add("".join(chosen), " ".join(a + b for a, b in zip(chosen, chosen[1:])), "x".join(chosen))
add(*(f"{key}\ufe0f\u20e3{key}\u20e3 {key}\ufe0f" for key in "0123456789#*"))
add("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f \U0001f3f4\u200d\u2620\ufe0f \U0001f3f3\ufe0f\u200d\U0001f308")
add(*("".join(chosen) for chosen in chunks(spread([chr(code) for code in range(0x1F300, 0x1FAF7)], 120), 12)))
add("\u200d", "\ufe0f", "a\u200db \u200da b\u200d", "\u200c\u200d\u200c", "\ufe0fx\ufe0e", "x\U000e0001\U000e0041\U000e007f")

# 8. White space, ends of lines, controls, characters of format and direction.
spaces = [c for c in map(chr, codes) if c.isspace() or category(c) in ("Zs", "Zl", "Zp")]
for c in spaces:
    add(c, f"{c}a", f"a{c}", f"a{c}b{c}{c}c", f" {c} a{c} {c}b ", f"{c * 5}!{c * 2}1")
for ending in ["\n", "\r", "\r\n", "\n\r", "\n\n", "\r\r\n", "\v", "\f", "\x85", "\u2028", "\u2029", "\x1c", "\x1d", "\x1e", "\x1f"]:
    add(f"one{ending}two", f"one {ending} two", f"{ending}one{ending}{ending}", f"a.{ending}B!{ending}1{ending}", f"\t{ending}\t x{ending}  ")
for c in [c for c in map(chr, codes) if category(c) in ("Cc", "Cf") and c not in spaces]:
    add(f"{c}he{c} a{c}b said{c} {c}1")
add("\u202a\u05d0\u202b\u05d1\u202c\u202d\u202e.\u2066a\u2067b\u2068c\u2069", "\u200eabc\u200f \u061c\u0627\u0628", "\u202eTHE\u202c he", "\u00adsoft\u00adhyphen\u00ad", "\ufeffbom\ufeff \ufeff", "\ufffd\ufffe\uffff", "\u0000", "a\u0000b\u0000")
add("", " ", "  ", "   ", " " * 7, " " * 33, "\t", "\t\t ", "\n", " \n ", "\n \n", "\u00a0", "\u3000\u3000", "a ", " a", " a ", "  a  b  ")

# 9. Digits and numbers of every script.
for kind in ("Nd", "Nl", "No"):
    for i, chosen in enumerate(chunks(by_category[kind], 20)):
        add(layouts[i % len(layouts)](chosen))
for chosen in chunks(by_category["Nd"], 10):
    add(f"{''.join(chosen)} {chosen[1]}{chosen[2]},{chosen[3]}.{chosen[4]}% x{chosen[5]}2{chosen[6]}")
add("1", "12", "123", "1234", "12345", "1234567890" * 3, "1,234,567.89", "-1", "+1e-10", "3.14159", "0x1F 0b101 0o17", "1/2 ½ 1⁄2", "x² y³ z¹ a₀ b₁", "IV Ⅳ ⅳ ①②③ ⑴⒈", "1st 2nd 3rd 4th", "12:30 2026-01-31 31.01.2026", "$5 €6 £7 ¥8 ₹9 50%", "١٢٣٤٥ ۱۲۳ १२३ ๑๒๓", "𝟘𝟙𝟚𝟛 𝟎𝟏𝟐", "007 0.5 .5 5. 5..5")

# 10. English: contractions, case, punctuation, runs, addresses, code, names of special tokens.
for quote in "'\u2019`\u02bc\uff07":
    for rest in ("s", "t", "re", "ve", "m", "ll", "d", "S", "T", "RE", "VE", "M", "LL", "D", "\u017f", "x", ""):
        add(f"he{quote}{rest} {quote}{rest}he {quote}{rest}")
add("don't can't I'm we'll they've you're he'd it's", "DON'T CAN'T I'M WE'LL", "do n't do not can not 's 'm 've 're", "o'clock rock'n'roll 'tis ''' 'a' ''s")
for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~":
    add(f"the{c}he {c} said{c}{c}{c} {c}a{c}1{c}", c, c * 9)
for c in ["a", "A", "z", " ", "1", "\u00e9", "e\u0301", "\u4e2d", "\U0001f600", "\u0e01", "\uac00", "#", "<x>", "he", "\u0301", "\u200d", "\u2581", "\u0120", "\ufffd"]:
    add(c * 3, c * 17, f"x {c * 101} y")
add("https://example.org/a/b?c=d&e=%20f#g", "mailto:user.name+tag@example.co.uk", "C:\\Users\\x\\file.txt ~/.bashrc /usr/lib/*.so", "www.a-b.example:8080/~u/", "@user #tag $HOME ${x} %s {0}", "a@b.c, 192.168.0.1 ::1 fe80::1%eth0")
add("def f(x):\n    return x + 1  # comment\n", "for (let i = 0; i < n; i++) { a[i] += b?.c ?? -1; }\r\n", "if (a && b || !c) x = y == z ? 1 : 2;", "SELECT * FROM t WHERE a <> 'b' -- no\n", "<p class=\"a\">&amp; &#x41;</p>", "{\"a\": [1, 2.5, null, true]}", "\tindent\n\t\tmore\n    spaces\n", "x=>x*2; a->b; a::b; a|>b; /* c */ // d", "\\n \\t \\u0041 \\x41", "snake_case camelCase PascalCase kebab-case SCREAMING_CASE", "#!/bin/sh\nset -eu\n", "$$\\frac{a}{b}$$ **bold** _it_ `code` [a](b)")
for token in ["[UNK]", "[MASK]", "[CLS]", "[SEP]", "[PAD]", "<s>", "</s>", "<unk>", "<mask>", "<pad>", "<x>", "<|endoftext|>", "<|begin_of_text|>", "<0x0A>", "##he", "he</w>", "\u2581he", "\u0120he"]:
    add(f"he{token}said {token} he  {token}  {token}{token}", token, token.lower(), token.upper(), f"{token[:-1]} {token[-1]}", f" {token}\n", f"\u00e9{token}\u00e91{token}1_{token}_")
add("he He HE hE said SAID Said he,said he.said he-said hes ahe", "the The THE then and AND hand", "aa aaa aaaa a a aa a", "STRASSE stra\u00dfe STRA\u1e9eE", "\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03bf\u03c2 \u03a3 \u03a3\u0391\u03a3. \u03a3\u2019\u03a3", "\u0130stanbul ISTANBUL \u0131stanbul i\u0307", "\u01c4\u01c5\u01c6 \u01f1\u01f2\u01f3 \u1f88\u1f80 \u1fbc", "\ufb00\ufb01\ufb02\ufb03\ufb04\ufb05\ufb06 \u0132\u0133 \u0149", "na\u00efve caf\u00e9 Z\u00fcrich \u00c5ngstr\u00f6m \u212bngstr\u00f6m \u2126 \u212a", "\u201cquoted\u201d \u2018single\u2019 \u00abguillemets\u00bb \u2026 \u2014 \u2013 \u2010", "\u017fs \u1e9b\u0323 \u1e9e \u0345\u03b9 \u1fbe", "\u0e44\u0e17\u0e22\u0e44\u0e21\u0e48\u0e21\u0e35\u0e27\u0e23\u0e23\u0e04", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u094d\u0937 \u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937 \u0915\u093c \u0958", "\u0645\u0631\u062d\u0628\u0627\u064b \u0627\u0644\u0644\u0647 \ufdf2 \ufdfa \ufefb", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \ufb2a\ufb49", "Ti\u1ebfng Vi\u1ec7t Tie\u0302\u0301ng Vie\u0323\u0302t", "\u13a0\u13f8\uab70 \u10d0\u1c90\u10a0\u2d00")

texts = list(dict.fromkeys(lines))
texts.sort(key=lambda text: 0 if text in ("", " ") else 1)  # the simplest first
present = set("".join(texts))
forms = {}
for text in texts:
    for form in (unicodedata.normalize("NFD", text), text.lower(), unicodedata.normalize("NFD", text.lower())):
        forms.update(dict.fromkeys(c for c in form if c not in present))
target = pathlib.Path(__file__).parent.parent / "test/fixtures/tokenizers/text-set.json.gz"
content = {"unicode": unicodedata.unidata_version, "forms": "".join(forms), "texts": texts}
target.write_bytes(gzip.compress(json.dumps(content, ensure_ascii=False, indent=0).encode(), 9, mtime=0))
print(f"{len(texts)} lines, {len(present)} characters, {target.stat().st_size} bytes")
