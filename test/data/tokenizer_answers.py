"""What Python's `tokenizers` makes of texts: tokenizer_answers.py TOKENIZER.json, a JSON list of texts on stdin.

Prints JSON: for each text its ids, the offsets in code points and the decoded text; for each neighbouring pair of texts
the framed ids and types at full length, and the offsets too when cut to lengths that leave an even room.
"""

import json
import sys

import tokenizers

tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
tokenizer.no_padding()
texts = json.load(sys.stdin)


def answer(encoding, places=True):
    found = {"ids": encoding.ids}
    if places:
        found["offsets"] = [place for pair in encoding.offsets for place in pair]
    return found


result = {"texts": [], "pairs": []}
for text in texts:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    result["texts"].append(answer(encoding))
special = tokenizer.num_special_tokens_to_add(True)
for length in (None, 14 + special, 6 + special):
    if length:
        tokenizer.enable_truncation(length, strategy="longest_first")
    for first, second in zip(texts, texts[1:]):
        encoding = tokenizer.encode(first, second)
        result["pairs"].append({"types": encoding.type_ids, **answer(encoding, length is not None)})
json.dump(result, sys.stdout)
