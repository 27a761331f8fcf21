"""What Python's `tokenizers` makes of texts: a JSON list of {"json": tokenizer.json, "texts": [...]} on stdin.

Prints JSON: the version, and for each entry the ids of its texts and their way back, or the error.
"""

import json
import sys

import tokenizers

answers = []
for case in json.load(sys.stdin):
    try:
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(case["json"]))
        encodings = [tokenizer.encode(text, add_special_tokens=False).ids for text in case["texts"]]
        decoded = [tokenizer.decode(ids, skip_special_tokens=False) for ids in encodings]
        answers.append({"ids": encodings, "decoded": decoded})
    except Exception as error:  # the message is the answer
        answers.append({"error": str(error)})
json.dump({"version": tokenizers.__version__, "answers": answers}, sys.stdout)
