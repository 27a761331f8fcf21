#!/usr/bin/env python3
"""One training step of a BERT, GPT-2 or Llama language model in PyTorch, timed on request.

The peer of bench/step: same structure, precision, dropout, optimiser and clipping as the step it is compared with.
Reads commands from standard input, so that the two programs can take turns: "run N" does N steps and prints one JSON
line with their times in ms; "end" prints the peak memory and leaves. `--full-head` makes BERT compute its head on every
position (as Hugging Face's classes do); otherwise it is computed on the masked ones only, the faster of the two.
"""
import argparse
import contextlib
import json
import math
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from torch_llama import Llama


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["bert", "gpt", "llama"], required=True)
    for name in ("layers", "hidden", "heads", "key-value-heads", "ffn", "vocab-size", "seq", "batch", "threads"):
        parser.add_argument("--" + name, type=int, required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
    parser.add_argument("--dropout", type=float, required=True, help="of BERT and GPT-2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--full-head", action="store_true")
    parser.add_argument("--hugging-face", action="store_true")
    return parser.parse_args()


class SelfAttention(nn.Module):
    def __init__(self, hidden, heads, causal, dropout):
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.output = nn.Linear(hidden, hidden)

    def forward(self, x):
        batch, seq, hidden = x.shape
        split = self.qkv(x).view(batch, seq, 3, self.heads, hidden // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout, is_causal=self.causal)
        return self.output(y.transpose(1, 2).reshape(batch, seq, hidden))


class Layer(nn.Module):
    """Pre-LN for GPT-2, post-LN for BERT."""

    def __init__(self, options):
        super().__init__()
        hidden, self.dropout = options.hidden, options.dropout
        self.pre = options.model == "gpt"
        self.attention = SelfAttention(hidden, options.heads, self.pre, options.dropout)
        self.up, self.down = nn.Linear(hidden, options.ffn), nn.Linear(options.ffn, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)

    def feed_forward(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh" if self.pre else "none"))

    def forward(self, x):
        if self.pre:
            x = x + F.dropout(self.attention(self.norm1(x)), self.dropout)
            return x + F.dropout(self.feed_forward(self.norm2(x)), self.dropout)
        x = self.norm1(x + F.dropout(self.attention(x), self.dropout))
        return self.norm2(x + F.dropout(self.feed_forward(x), self.dropout))


class BertOrGpt(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.options = options
        hidden = options.hidden
        self.words = nn.Embedding(options.vocab_size, hidden)
        self.positions = nn.Embedding(options.seq, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.layers = nn.ModuleList(Layer(options) for _ in range(options.layers))
        if options.model == "bert":
            self.types = nn.Embedding(2, hidden)
            self.transform = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
            self.bias = nn.Parameter(torch.zeros(options.vocab_size))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, labels, masked):
        o = self.options
        x = self.words(tokens) + self.positions.weight[: tokens.shape[1]]
        if o.model == "bert":
            x = self.norm(x + self.types.weight[0])
        x = F.dropout(x, o.dropout)
        for layer in self.layers:
            x = layer(x)
        x = x.reshape(-1, o.hidden)
        if o.model == "gpt":
            return F.cross_entropy(F.linear(self.norm(x), self.words.weight).float(), labels)
        if not o.full_head:
            x, labels = x[masked], labels[masked]
        return F.cross_entropy(F.linear(self.transform(x), self.words.weight, self.bias).float(), labels)


class HuggingFaceModel(nn.Module):
    """The same structure as the classes of the transformers package build it; BERT's head runs on every position."""

    def __init__(self, options):
        super().__init__()
        import transformers

        o = options
        if o.model == "gpt":
            config = transformers.GPT2Config(
                vocab_size=o.vocab_size, n_positions=o.seq, n_embd=o.hidden, n_layer=o.layers, n_head=o.heads, use_cache=False,
                n_inner=o.ffn, resid_pdrop=o.dropout, embd_pdrop=o.dropout, attn_pdrop=o.dropout,
                attn_implementation="sdpa")
            self.model = transformers.GPT2LMHeadModel(config)
        elif o.model == "llama":
            config = transformers.LlamaConfig(
                vocab_size=o.vocab_size, max_position_embeddings=o.seq, hidden_size=o.hidden, num_hidden_layers=o.layers,
                num_attention_heads=o.heads, num_key_value_heads=o.key_value_heads, intermediate_size=o.ffn,
                rms_norm_eps=1e-5, use_cache=False, tie_word_embeddings=True, attn_implementation="sdpa")
            self.model = transformers.LlamaForCausalLM(config)
        else:
            config = transformers.BertConfig(
                vocab_size=o.vocab_size, max_position_embeddings=o.seq, hidden_size=o.hidden, num_hidden_layers=o.layers,
                num_attention_heads=o.heads, intermediate_size=o.ffn, hidden_dropout_prob=o.dropout,
                attention_probs_dropout_prob=o.dropout, attn_implementation="sdpa")
            self.model = transformers.BertForMaskedLM(config)

    def forward(self, tokens, labels, masked):
        logits = self.model(input_ids=tokens).logits
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), labels)


def create_model(options):
    if options.hugging_face:
        return HuggingFaceModel(options)
    return Llama(options) if options.model == "llama" else BertOrGpt(options)


def main():
    o = arguments()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    device = torch.device(o.device)
    model = create_model(o).to(device).train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)
    forward = torch.compile(model) if o.compile else model
    tokens = torch.randint(0, o.vocab_size, (o.batch, o.seq), device=device)
    labels = tokens.roll(-1, 1)
    if o.model == "bert":
        labels[torch.rand(labels.shape, device=device) > 0.15] = -100
    else:
        labels[:, -1] = -100
    labels = labels.reshape(-1)
    masked = (labels != -100).nonzero().reshape(-1)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16) if o.precision == "bf16" else contextlib.nullcontext()

    def step():
        with autocast:
            loss = forward(tokens, labels, masked)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    for line in sys.stdin:
        command = line.split()
        if command[0] == "end":
            break
        times = []
        for _ in range(int(command[1])):
            start = time.perf_counter()
            loss = step()
            times.append((time.perf_counter() - start) * 1e3)
        if not math.isfinite(loss):
            sys.exit("the peer's loss is not finite")
        print(json.dumps({"stepMs": times, "loss": loss}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    print(json.dumps({"peakBytes": peak, "version": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
