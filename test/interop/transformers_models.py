"""Makes and loads models with Python's transformers: a list of jobs as JSON on stdin, a list of results on stdout.

make: a random model of a kind, saved in a folder, whole or in shards. Both kinds of job: logits of `tokens`, written to
`out` (safetensors). load: also what was missing or unexpected, ids of texts, and a few generated tokens. tuned: a model
with a task's head: what the Auto class makes of it, its outputs for each sequence, and ids of pairs of texts.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)


def write_logits(model, tokens, out):
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(tokens)).logits
    save_file({"logits": logits.float().contiguous()}, out)


def make(job):
    torch.manual_seed(7)
    sizes = {"vocab_size": 61, "initializer_range": 0.2}
    if job["kind"] == "bert":
        config = transformers.BertConfig(
            hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=40,
            max_position_embeddings=20, **sizes)
        model = transformers.BertForMaskedLM(config)
    elif job["kind"] == "llama":
        config = transformers.LlamaConfig(
            hidden_size=24, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, intermediate_size=40,
            max_position_embeddings=20, bos_token_id=0, eos_token_id=0, **sizes)
        model = transformers.LlamaForCausalLM(config)
    else:
        config = transformers.GPT2Config(
            n_embd=24, n_layer=3, n_head=3, n_inner=40, n_positions=20, bos_token_id=0, eos_token_id=0, **sizes)
        model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():  # biases begin as zeros and norms as ones; a mix-up must show
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(job["folder"], max_shard_size=job["shard"])
    write_logits(model, job["tokens"], job["out"])
    return {"files": sorted(os.listdir(job["folder"]))}


def load(job):
    cls = getattr(transformers, job["class"])
    model, info = cls.from_pretrained(job["folder"], output_loading_info=True, dtype=torch.float32)
    stored = cls.from_pretrained(job["folder"])
    write_logits(model, job["tokens"], job["out"])
    result = {
        "class": type(transformers.AutoModelForMaskedLM.from_pretrained(job["folder"])).__name__
        if job["class"].startswith("Bert")
        else type(transformers.AutoModelForCausalLM.from_pretrained(job["folder"])).__name__,
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "mismatched": sorted(map(str, info["mismatched_keys"])),
        "layers": model.config.num_hidden_layers,
        "dtype": str(stored.dtype),
    }
    if job.get("texts") is not None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(job["folder"])
        result["ids"] = [tokenizer(text, add_special_tokens=False).input_ids for text in job["texts"]]
        result["max_length"] = tokenizer.model_max_length
    if not job["class"].startswith("Bert"):
        model.eval()
        prompt = torch.tensor(job["tokens"][:1])[:, :4]
        generated = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=4, do_sample=False,
                                   pad_token_id=0)
        result["generated"] = generated[0].tolist()
        result["eos"] = model.generation_config.eos_token_id
    return result


def tuned(job):
    cls = getattr(transformers, job["class"])
    model, info = cls.from_pretrained(job["folder"], output_loading_info=True, dtype=torch.float32)
    model.eval()
    outputs = []
    for tokens, types in job["sequences"]:
        inputs = {"input_ids": torch.tensor([tokens])}
        if "Bert" in type(model).__name__:
            inputs["token_type_ids"] = torch.tensor([types])
        with torch.no_grad():
            given = model(**inputs)
        if "logits" in given:
            outputs.append(given.logits[0].tolist())
        else:
            outputs.append(given.start_logits[0].tolist() + given.end_logits[0].tolist())
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["folder"])
    pairs = [tokenizer(*texts) for texts in job["texts"]]
    return {
        "class": type(model).__name__,
        "labels": [model.config.id2label[id] for id in range(model.config.num_labels)],
        "problem": model.config.problem_type,
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "outputs": outputs,
        "ids": [pair["input_ids"] for pair in pairs],
        "types": [pair.get("token_type_ids") for pair in pairs],
    }


jobs = json.load(sys.stdin)
print(json.dumps([{"make": make, "load": load, "tuned": tuned}[job["do"]](job) for job in jobs]))
