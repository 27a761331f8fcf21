"""Writes test/fixtures/tokenizers/llama: small tokenizers with the pipelines of Llama-shaped models, and Python's answers.

Usage: python scripts/fixtures-llama-tokenizers.py SHARED/data   (needs Python's tokenizers and transformers)

Each tokenizer is trained on text of SHARED/data and on the lines of text-set.json.gz, which bring tokens of several bytes.
Pairs that are equally frequent may be merged in another order in another run, so the files are written together.
The pipelines are those of the published tokenizer.json files; nothing of these files is in ours but the shape.
"""

import gzip
import hashlib
import itertools
import json
import os
import pathlib
import struct
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import tokenizers
import transformers
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

root = pathlib.Path(__file__).parent.parent / "test/fixtures/tokenizers"
target = root / "llama"
data = pathlib.Path(sys.argv[1])
text_set = json.loads(gzip.decompress((root / "text-set.json.gz").read_bytes()))["texts"]
with gzip.open(data / "wiki/enwiki_part0.txt.gz", "rt", encoding="utf-8") as file:
    wiki = file.read(2_000_000)
shakespeare = (data / "tinyshakespeare/input.txt").read_text(encoding="utf-8")
corpus = [*wiki.splitlines(True), *shakespeare.splitlines(True), *text_set, *text_set]

size = 2000
pattern = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split_bytes(expression):
    split = pre_tokenizers.Split(Regex(expression), behavior="isolated", invert=False)
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def trained(pre_tokenizer, normalizer=None, reserved=(), **options):
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = BpeTrainer(vocab_size=size, special_tokens=list(reserved), show_progress=False, **options)
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def byte_level(pre_tokenizer, normalizer=None, reserved=()):
    tokenizer = trained(pre_tokenizer, normalizer, reserved, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def llama3():
    """Tokens that no merge makes are found by ignore_merges alone."""
    made = json.loads(byte_level(split_bytes(pattern)).to_str())
    vocabulary = made["model"]["vocab"]
    for word in ["\u0120Constantinople", "\u0120unreachable", "123", "!!!!", "\u0120\u00e2\u0122\u013e"]:
        vocabulary.setdefault(word, len(vocabulary))
    made["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(made))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    begin = "<|begin_of_text|>"
    frame = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1", special_tokens=[(begin, tokenizer.token_to_id(begin))]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), frame])
    return tokenizer


def smollm():
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    return byte_level(pre_tokenizers.Sequence(steps), reserved=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def qwen2():
    tokenizer = byte_level(split_bytes(pattern.replace(r"\p{N}{1,3}", r"\p{N}")), normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def llama2():
    """SentencePiece's BPE: trained on words, run on whole texts."""
    reserved = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    steps = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    by_word = pre_tokenizers.Metaspace(prepend_scheme="always")
    made = json.loads(trained(by_word, reserved=reserved, limit_alphabet=300).to_str())
    made["pre_tokenizer"] = None
    made["added_tokens"] = made["added_tokens"][:3]
    made["model"].update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer.from_str(json.dumps(made))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


quotes = ["s", "S", "\u017f", "t", "T", "re", "RE", "Re", "ve", "vE", "m", "M", "ll", "LL", "lL", "d", "D", "\u017fs", "st", "k", "\u212a"]
spaces = [" ", "\n", "\r", "\r\n", "\t", "\u00a0", "\u0085", "\u2028", "\u3000", "\v"]
hard = [
    *(f"he'{rest} '{rest} x'{rest}y 1'{rest}2 ''{rest}" for rest in quotes),
    *(f"{first}{second}{third}" for first, second, third in itertools.product(spaces, spaces, ["a", "1", "!", " ", "\n"])),
    *(f"a{space * count}b{space * count}1{space * count}!{space * count}" for space in spaces for count in (1, 2, 3, 7)),
    "one\r\n\r\n  two \r\n\t\r\nthree\n\n\n   four", "!\r\n\r\n!\n\n x ?\r\r\n", "a \n b", "  \n  a", " \n", "\n ", "   ", "",
    "1", "12", "123", "1234", "1234567", " 12 345 6789", "x1y22z333w4444", "3.14159 10,000 1st 2nd", "a  1  b", "1 2  3   4",
    "\u0661\u0662\u0663\u0664\u0665 \u0967\u0968\u0969\u096a \u0e51\u0e52\u0e53\u0e54", "\u00bd\u00b2\u2167\u2460\u3007\u4e00 \U0001d7d8\U0001d7d9\U0001d7da\U0001d7db", "\U00011de1\U00011de2 \U00016ff4",
    "e\u0301te\u0301 \u00e9t\u00e9 A\u030a \u212b \u1e9b\u0323 q\u0307\u0323 \u1100\u1161\u11a8 \u0344 \u0958", "a\u0301\u0301\u0301 \u0301x !\u0301 1\u0301 \n\u0301",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \U0001f1eb\U0001f1f7 \u2764\ufe0f 1\ufe0f\u20e3", "zero\u0000width\u200b\u00adjoined\ufffd\ufeff", "\u0000\u0000 \u0000a",
    "\ufffd \ufffdx x\ufffd", "x" * 500, "ab" * 3000, "9" * 400, "!" * 300, " " * 300, "\n" * 300, "\u4e2d" * 200, "\U0001f600" * 100,
    "the Constantinople unreachable Constantinople! 123 !!!! a \u201c", "DON'T can't WE'LL i'D it'S \u017f K'\u017f",
    "<|begin_of_text|>a<|end_of_text|> b<|eot_id|><|endoftext|>\n<|im_start|>user\nhe<|im_end|> <s>x</s><unk>",
    "def f(x):\n    return x  # no\n\n\tif a == b:\r\n\t\tpass", "\u6587\u5b57\u3068\ud55c\uad6d\uc5b4, \u0e44\u0e17\u0e22 and \u0939\u093f\u0928\u094d\u0926\u0940", "$x_1^2$ 'tis \u2019twas rock'n'roll ''' '", "\u2581a \u2581 a\u2581", "<0x41> <0x0A>",
]  # fmt: skip


def answers(tokenizer):
    frame = tokenizer.post_processor
    framed = [tokenizer.encode(hard[0]).ids, tokenizer.encode(hard[0], hard[1]).ids]
    tokenizer.post_processor = None  # it may leave blanks out of the places
    encodings = [tokenizer.encode(text, add_special_tokens=False) for text in hard]
    packed = hashlib.sha256()
    for text in text_set:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        packed.update(struct.pack(f"<I{len(ids)}I", len(ids), *ids))
    tokenizer.post_processor = frame
    return {
        "ids": [encoding.ids for encoding in encodings],
        "offsets": [list(itertools.chain(*encoding.offsets)) for encoding in encodings],
        "decoded": [tokenizer.decode(encoding.ids, skip_special_tokens=False) for encoding in encodings],
        "framed": framed,
        "textSet": packed.hexdigest(),
    }


llama_model, qwen_model = {"model_type": "llama"}, {"model_type": "qwen2"}
end = "<|endoftext|>"
bos_and_eos = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def special(content):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}


# Files next to a tokenizer.json, much as in published folders: its name, the settings, config.json.
folders = [
    ("llama-3", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}, llama_model),
    ("llama-3", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "add_bos_token": False}, llama_model),
    ("llama-3", {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}, llama_model),
    ("llama-3", {"eos_token": "<|end_of_text|>", "add_eos_token": True}, llama_model),
    ("smollm", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "bos_token": end, "eos_token": end, "unk_token": end, "additional_special_tokens": ["<|im_start|>"], "added_tokens_decoder": {str(i): special(t) for i, t in enumerate([end, "<|im_start|>", "<|im_end|>"])}}, llama_model),
    ("smollm", {"tokenizer_class": "GPT2Tokenizer", "eos_token": end}, {"model_type": "granite"}),
    ("smollm", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}, llama_model),
    ("smollm", {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}, qwen_model),
    ("qwen-2", {"tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "add_prefix_space": None, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": end, "unk_token": None}, qwen_model),
    ("qwen-2", {"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": True}, qwen_model),
    ("qwen-2", {"tokenizer_class": "LlamaTokenizerFast", "eos_token": end}, qwen_model),
    ("qwen-2", {"tokenizer_class": "Qwen2TokenizerFast", "eos_token": end}, {"model_type": "qwen3"}),
    ("llama-2", {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_bos_token": True, "add_eos_token": False, **bos_and_eos}, llama_model),
    ("llama-2", {"tokenizer_class": "LlamaTokenizerFast", "legacy": None, "add_prefix_space": None, **bos_and_eos}, llama_model),
    ("llama-2", {"tokenizer_class": "LlamaTokenizer", "legacy": True, "pad_token": "<pad>", **bos_and_eos}, None),
    ("llama-2", {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False, **bos_and_eos}, llama_model),
    ("llama-2", {"tokenizer_class": "LlamaTokenizer", **bos_and_eos}, {"model_type": "mistral"}),
]  # fmt: skip
asked = [
    "a  1 22  333 4444, he'LL x\n\n y \t", "e\u0301 \u00e9 \u4e2d\U0001f600\u0000", " the Constantinople  of\u2581it",
    "<s>he</s> he <unk><pad><|endoftext|>he<|im_start|>u<|im_end|> <|begin_of_text|><|end_of_text|>",
]  # fmt: skip


def auto(name, config, model):
    """What AutoTokenizer makes of a folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "tokenizer.json").write_bytes(gzip.decompress((target / f"{name}.json.gz").read_bytes()))
        files = {"tokenizer_config.json": config, "config.json": model}
        files = {file: content for file, content in files.items() if content is not None}
        for file, content in files.items():
            (path / file).write_text(json.dumps(content))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return {
        "name": name,
        "files": files,
        "class": type(tokenizer).__name__,
        "size": len(tokenizer),
        "eos": tokenizer.eos_token,
        "bos": tokenizer.bos_token,
        "ids": [tokenizer.encode(text, add_special_tokens=False) for text in asked],
        "framed": tokenizer(asked[0], asked[1]).input_ids,
    }


def write(name, value):
    (target / name).write_bytes(gzip.compress(json.dumps(value, ensure_ascii=False).encode(), 9, mtime=0))
    print(f"{name}: {(target / name).stat().st_size} bytes")


target.mkdir(exist_ok=True)
found = {}
for name, make in {"llama-3": llama3, "smollm": smollm, "qwen-2": qwen2, "llama-2": llama2}.items():
    tokenizer = make()
    write(f"{name}.json.gz", json.loads(tokenizer.to_str()))
    found[name] = answers(tokenizer)
write("answers.json.gz", {"tokenizers": tokenizers.__version__, "texts": hard, "answers": found})
answer = {"transformers": transformers.__version__, "texts": asked, "folders": [auto(*folder) for folder in folders]}
write("folders.json.gz", answer)
