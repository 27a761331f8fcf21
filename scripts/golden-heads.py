"""Writes test/fixtures/golden/heads: tiny models with task heads, and what PyTorch computes with them.

Usage: python scripts/golden-heads.py   (needs torch, transformers, safetensors; CPU, f32, seed fixed)
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

folder = pathlib.Path(__file__).parent.parent / "test/fixtures/golden/heads"
BATCH, SEQ, VOCAB, WIDTH = 3, 10, 24, 16
LENGTHS = [10, 6, 8]

bert = dict(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
gpt = dict(vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=12, resid_pdrop=0.0, embd_pdrop=0.0,
           attn_pdrop=0.0, pad_token_id=0)


def inputs(generator):
    ids = torch.randint(1, VOCAB, (BATCH, SEQ), generator=generator)
    mask = torch.zeros(BATCH, SEQ, dtype=torch.int64)
    types = torch.zeros(BATCH, SEQ, dtype=torch.int64)
    for row, length in enumerate(LENGTHS):
        mask[row, :length] = 1
        types[row, length // 2:length] = 1
    return ids * mask, mask, types


def write(name, model, generator):
    ids, mask, types = inputs(generator)
    # Larger than the usual initial weights, so that every part of the network matters to the result.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    model.eval()
    fed = dict(input_ids=ids, attention_mask=mask)
    if name.startswith("bert"):
        fed["token_type_ids"] = types
    expected = {}
    if name == "bert-spans":
        start, end = torch.tensor([2, 1, 3]), torch.tensor([4, 1, 7])
        result = model(**fed)
        hidden = [logits.masked_fill(mask == 0, -1e9) for logits in (result.start_logits, result.end_logits)]
        loss = sum(torch.nn.functional.cross_entropy(logits, at) for logits, at in zip(hidden, (start, end))) / 2
        expected["logits"] = torch.stack(hidden, 1)
        labels = {"start": start, "end": end}
    else:
        regression = model.config.num_labels == 1
        labels = {"label": torch.tensor([0.5, 3.0, 4.25]) if regression else torch.tensor([2, 0, 1])}
        result = model(**fed, labels=labels["label"])
        loss, expected["logits"] = result.loss, result.logits
    loss.backward()
    expected["loss"] = loss.reshape(1)
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    expected["grad_norm"] = torch.stack([g.norm() for g in gradients.values()]).norm().reshape(1)
    for key, gradient in gradients.items():
        if any(part in key for part in ("pooler", "classifier", "score", "qa_outputs", "layer.1.output.dense", "h.1.mlp")):
            expected[f"grad.{key}"] = gradient
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    plain = lambda tensors: {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(plain(dict(model.named_parameters())), own / "model.safetensors")
    save_file(plain({"input_ids": ids, "attention_mask": mask, "token_type_ids": types, **labels}), own / "inputs.safetensors")
    save_file(plain(expected), own / "expected.safetensors")
    config = model.config.to_dict()
    (own / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


for seed, (name, make) in enumerate({
    "bert-classes": lambda: BertForSequenceClassification(BertConfig(**bert, num_labels=3)),
    "bert-number": lambda: BertForSequenceClassification(BertConfig(**bert, num_labels=1)),
    "bert-spans": lambda: BertForQuestionAnswering(BertConfig(**bert)),
    "gpt-classes": lambda: GPT2ForSequenceClassification(GPT2Config(**gpt, num_labels=3)),
}.items()):
    torch.manual_seed(20 + seed)
    write(name, make(), torch.Generator().manual_seed(30 + seed))
