"""What Python's `tokenizers` makes of texts: one {"json": tokenizer.json, "texts": [...], "second": a text} on stdin.

Prints JSON: the version, and for each text its ids without special tokens and their way back; where the pipeline puts
tokens around texts, also ids and types of the text, and of it and `second`, with them.
"""

import json
import sys

import tokenizers

case = json.load(sys.stdin)
tokenizer = tokenizers.Tokenizer.from_str(json.dumps(case["json"]))
answers = []
for text in case["texts"]:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    answer = [ids, tokenizer.decode(ids, skip_special_tokens=False)]
    if case["json"]["post_processor"] is not None:
        for encoding in (tokenizer.encode(text), tokenizer.encode(text, case["second"])):
            answer += [encoding.ids, encoding.type_ids]
    answers.append(answer)
json.dump({"version": tokenizers.__version__, "answers": answers}, sys.stdout)
