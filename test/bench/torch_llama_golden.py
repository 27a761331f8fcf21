"""Compares bench/step/torch_llama.py with the golden files of LlamaForCausalLM: logits, loss and all gradients.

Usage: python test/bench/torch_llama_golden.py FOLDER...   (needs torch, safetensors)
Prints a JSON line a folder: its name and the largest error of each part, in units of the tensor's largest value.
"""
import argparse
import json
import math
import pathlib
import sys

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench/step"))
from torch_llama import Llama, rotary_frequencies  # noqa: E402


def options_of(config):
    return argparse.Namespace(
        layers=config["num_hidden_layers"], hidden=config["hidden_size"], heads=config["num_attention_heads"],
        key_value_heads=config["num_key_value_heads"], ffn=config["intermediate_size"], vocab=config["vocab_size"],
        seq=config["max_position_embeddings"])


def frequencies_of(config):
    """With the scaling of Llama 3.1 where the configuration has it: long waves are stretched, short ones kept."""
    rope = config["rope_parameters"]
    frequencies = rotary_frequencies(config["head_dim"], rope["rope_theta"])
    if rope["rope_type"] == "default":
        return frequencies
    assert rope["rope_type"] == "llama3", rope
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    waves = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    kept = ((waves - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / rope["factor"])


def foreign_names(layers, tied):
    """For each of our parameters the tensors of the checkpoint that it joins."""
    names = {"words.weight": ["model.embed_tokens"], "norm.weight": ["model.norm"]}
    if not tied:
        names["head.weight"] = ["lm_head"]
    for i in range(layers):
        parts = {
            "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            "attention.output": ["self_attn.o_proj"],
            "up": ["mlp.gate_proj", "mlp.up_proj"],
            "down": ["mlp.down_proj"],
            "norm1": ["input_layernorm"],
            "norm2": ["post_attention_layernorm"],
        }
        for part, modules in parts.items():
            names[f"layers.{i}.{part}.weight"] = [f"model.layers.{i}.{module}" for module in modules]
    return {name: [f"{module}.weight" for module in modules] for name, modules in names.items()}


def error(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def compare(folder):
    config = json.loads((folder / "config.json").read_text())
    weights, expected = load_file(folder / "model.safetensors"), load_file(folder / "expected.safetensors")
    tokens = load_file(folder / "inputs.safetensors")["input_ids"].long()
    tied = config["tie_word_embeddings"]
    model = Llama(options_of(config), frequencies_of(config), config["rms_norm_eps"], tied)
    parameters = dict(model.named_parameters())
    names = foreign_names(config["num_hidden_layers"], tied)
    assert set(names) == set(parameters)
    with torch.no_grad():
        for name, parts in names.items():
            parameters[name].copy_(torch.cat([weights[part] for part in parts]))

    labels = tokens.roll(-1, 1)
    labels[:, -1] = -100
    loss = model(tokens, labels.flatten())
    loss.backward()
    gradients = {
        name: error(parameters[name].grad, torch.cat([expected[f"grad.{part}"] for part in parts]))
        for name, parts in names.items()
    }
    return {
        "folder": folder.name,
        "logits": error(model.logits(tokens), expected["logits"].flatten(0, 1)),
        "loss": error(loss, expected["loss"]),
        "gradients": max(gradients.values()),
    }


for each in sys.argv[1:]:
    print(json.dumps(compare(pathlib.Path(each))))
