"""How Python's `tokenizers` splits text around every code point, as digests of blocks of 4,096 code points (JSON)."""

import hashlib
import json
import sys

import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel

uncased = BertNormalizer()
cased = BertNormalizer(lowercase=False)
bert, gpt = BertPreTokenizer(), ByteLevel(add_prefix_space=False)


def bert_words(normalizer, text):
    return [word for word, _ in bert.pre_tokenize_str(normalizer.normalize_str(text))]


splitters = {
    "bert": lambda chars: bert_words(uncased, "\n".join(f"a{c}b 1{c}! {c}" for c in chars))
    + bert_words(cased, "\n".join(f"A{c}e" for c in chars)),
    "gpt2": lambda chars: gpt_words("\n".join(f"a{c}b1{c}2!{c} {c}\t{c}'{c}s's" for c in chars)),
}


def gpt_words(text):
    return [text[start:end] for _, (start, end) in gpt.pre_tokenize_str(text)]


result = {"versions": {"tokenizers": tokenizers.__version__}}
for name, split in splitters.items():
    result[name] = []
    for block in range(0, 0x110000, 4096):
        chars = [chr(code) for code in range(block, block + 4096) if not 0xD800 <= code < 0xE000]
        result[name].append(hashlib.sha256("|".join(split(chars)).encode()).hexdigest()[:8])
json.dump(result, sys.stdout)
