"""Which characters Python's `tokenizers` lets each pattern of one character match: a list of patterns on stdin.

Prints JSON: the version, and for each pattern the first 8 bytes of the SHA-256 of a byte per code point: 1 for a match.
"""

import hashlib
import json
import sys

import tokenizers
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

# All that is assigned, and the ends of what is not; without surrogates, which Python has none of.
ranges = [(0x0, 0xD800), (0xE000, 0x34000), (0xDFFF0, 0xE0200), (0xEFFF0, 0xF0010), (0x10FFF0, 0x110000)]
codes = [code for first, end in ranges for code in range(first, end)]
blocks = [codes[i : i + 512] for i in range(0, len(codes), 512)]
texts = ["".join(map(chr, block)) for block in blocks]


def digest(pattern):
    split = Split(Regex(pattern), "removed")
    matched = bytearray(b"\1" * len(codes))
    for number, text in enumerate(texts):
        for _, (start, end) in split.pre_tokenize_str(text):
            matched[number * 512 + start : number * 512 + end] = bytes(end - start)
    return hashlib.sha256(matched).hexdigest()[:16]


patterns = {pattern: digest(pattern) for pattern in json.load(sys.stdin)}
json.dump({"tokenizers": tokenizers.__version__, "patterns": patterns}, sys.stdout)
