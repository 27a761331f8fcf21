"""Checks an exported Llama without torch: `check-llama-export.py FOLDER ANSWERS`.

transformers must make the class's configuration of config.json, with the values that stand there; the tensors must be those
of LlamaForCausalLM (or that of Qwen2 or Qwen3) by name and shape; and a forward pass written here in NumPy, in float64, must
give the logits of ANSWERS, a safetensors file with `tokens` i32 [B, T] and `logits` f32 [B T, V] as this package computes
them. Ends with status 1 and what is wrong. Needs numpy, safetensors and transformers.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402
from transformers import AutoConfig  # noqa: E402


def load_weights(folder):
    index = os.path.join(folder, "model.safetensors.index.json")
    files = ["model.safetensors"]
    if os.path.exists(index):
        with open(index, encoding="utf8") as file:
            files = sorted(set(json.load(file)["weight_map"].values()))
    tensors = {}
    for name in files:
        tensors |= load_file(os.path.join(folder, name))
    return tensors


def check_config(config, stored):
    # From version 5 on these stand in rope_parameters; None means what the class makes of it.
    moved = {"rope_theta", "rope_scaling", "architectures", "torch_dtype"}
    for key, value in stored.items():
        if key not in moved and value is not None:
            found = getattr(config, key, None)
            assert found == value, f"config.json has {key} {value}; transformers reads {found}"
    assert f"{type(config).__name__.removesuffix('Config')}ForCausalLM" == stored["architectures"][0], type(config)


def expected_shapes(c):
    """The state dict of the class: its modules in modeling_llama.py, modeling_qwen2.py and modeling_qwen3.py."""
    queries, keys = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    qkv_bias, output_bias = (True, False) if c.model_type == "qwen2" else (c.attention_bias, c.attention_bias)
    mlp_bias = c.model_type == "llama" and c.mlp_bias
    shapes = {"model.embed_tokens.weight": (c.vocab_size, c.hidden_size), "model.norm.weight": (c.hidden_size,)}
    if not c.tie_word_embeddings:
        shapes["lm_head.weight"] = (c.vocab_size, c.hidden_size)
    for i in range(c.num_hidden_layers):
        layer = f"model.layers.{i}."
        for module, outputs, inputs, bias in [
            ("self_attn.q_proj", queries, c.hidden_size, qkv_bias),
            ("self_attn.k_proj", keys, c.hidden_size, qkv_bias),
            ("self_attn.v_proj", keys, c.hidden_size, qkv_bias),
            ("self_attn.o_proj", c.hidden_size, queries, output_bias),
            ("mlp.gate_proj", c.intermediate_size, c.hidden_size, mlp_bias),
            ("mlp.up_proj", c.intermediate_size, c.hidden_size, mlp_bias),
            ("mlp.down_proj", c.hidden_size, c.intermediate_size, mlp_bias),
        ]:
            shapes[f"{layer}{module}.weight"] = (outputs, inputs)
            if bias:
                shapes[f"{layer}{module}.bias"] = (outputs,)
        for norm in ["input_layernorm", "post_attention_layernorm"]:
            shapes[f"{layer}{norm}.weight"] = (c.hidden_size,)
        if c.model_type == "qwen3":
            for norm in ["q_norm", "k_norm"]:
                shapes[f"{layer}self_attn.{norm}.weight"] = (c.head_dim,)
    return shapes


def inverse_frequencies(c):
    rope = c.rope_parameters
    frequencies = rope["rope_theta"] ** (-np.arange(0, c.head_dim, 2) / c.head_dim)
    if rope["rope_type"] == "linear":
        return frequencies / rope["factor"]
    if rope["rope_type"] == "llama3":
        # Waves shorter than the original context over the high factor stay, those longer than it over the low one are
        # stretched by the factor, those between are blended.
        turns = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        share = np.clip((turns - low) / (high - low), 0, 1)
        return frequencies * (share + (1 - share) / rope["factor"])
    assert rope["rope_type"] == "default", rope
    return frequencies


def forward(c, weights, tokens):
    batch, seq = tokens.shape
    heads, groups, size = c.num_attention_heads, c.num_key_value_heads, c.head_dim

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + c.rms_norm_eps) * weights[f"{name}.weight"]

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)

    angles = np.arange(seq)[:, None] * np.tile(inverse_frequencies(c), 2)

    def split(x, count):
        return x.reshape(batch, seq, count, size).transpose(0, 2, 1, 3)

    def turned(x, name):
        x = norm(x, name) if f"{name}.weight" in weights else x
        half = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1)
        return x * np.cos(angles) + half * np.sin(angles)

    def shared(x):
        return np.repeat(x, heads // groups, axis=1)

    x = weights["model.embed_tokens.weight"][tokens]
    for i in range(c.num_hidden_layers):
        layer = f"model.layers.{i}."
        normed = norm(x, f"{layer}input_layernorm")
        q = turned(split(linear(normed, f"{layer}self_attn.q_proj"), heads), f"{layer}self_attn.q_norm")
        k = shared(turned(split(linear(normed, f"{layer}self_attn.k_proj"), groups), f"{layer}self_attn.k_norm"))
        v = shared(split(linear(normed, f"{layer}self_attn.v_proj"), groups))
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(size)
        scores = np.where(np.tri(seq, dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = x + linear(mixed.transpose(0, 2, 1, 3).reshape(batch, seq, heads * size), f"{layer}self_attn.o_proj")
        normed = norm(x, f"{layer}post_attention_layernorm")
        gate = linear(normed, f"{layer}mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(normed, f"{layer}mlp.up_proj"), f"{layer}mlp.down_proj")
    output = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(x, "model.norm") @ output.T


def main(folder, answers):
    with open(os.path.join(folder, "config.json"), encoding="utf8") as file:
        stored = json.load(file)
    config = AutoConfig.from_pretrained(folder)
    check_config(config, stored)
    if not hasattr(config, "head_dim"):
        config.head_dim = config.hidden_size // config.num_attention_heads
    weights = load_weights(folder)
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    wrong = sorted(set(shapes.items()) ^ set(expected_shapes(config).items()))
    assert not wrong, f"tensors that only one side has: {wrong}"
    ours = load_file(answers)
    exact = forward(config, {name: tensor.astype(np.float64) for name, tensor in weights.items()}, ours["tokens"])
    error = np.abs(ours["logits"].reshape(exact.shape) - exact).max() / np.abs(exact).max()
    assert error < 1e-5, f"logits differ by {error:.1e} of the largest"
    print(f"{type(config).__name__}, {len(shapes)} tensors, logits within {error:.1e}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AssertionError as wrong:
        sys.exit(f"{sys.argv[1]}: {wrong}")
