"""Prints what Python makes of a tokenizer's folder, as JSON: load_tokenizer.py FOLDER CLASS, a text a line on stdin (JSON)."""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import tokenizers  # noqa: E402
import transformers  # noqa: E402

transformers.logging.set_verbosity_error()
folder, name = sys.argv[1:]
texts = [json.loads(line) for line in sys.stdin]


def loaded(cls):
    tokenizer = cls.from_pretrained(folder)
    return {
        "class": type(tokenizer).__name__,
        "size": len(tokenizer),
        "special": tokenizer.special_tokens_map,
        "ids": [tokenizer(text, add_special_tokens=False).input_ids for text in texts],
        "pair": tokenizer("one", "two").input_ids,
        "types": tokenizer("one", "two", return_token_type_ids=True).token_type_ids,
        "max_length": tokenizer.model_max_length if tokenizer.model_max_length < 1e9 else None,
    }


result = {"auto": loaded(transformers.AutoTokenizer), "class": loaded(getattr(transformers, name))}
os.remove(os.path.join(folder, "tokenizer.json"))
result["without tokenizer.json"] = loaded(getattr(transformers, name))
result["versions"] = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
print(json.dumps(result, ensure_ascii=False))
