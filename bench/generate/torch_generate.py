#!/usr/bin/env python3
"""Greedy generation with a GPT-2 of random weights in PyTorch, with a key/value cache, timed on request.

The peer of bench/generate. Reads commands from standard input, so that the programs can take turns: "run N" generates N
texts and prints one JSON line with their times in ms; "end" prints the peak memory and leaves. `--variant generate` is
transformers' GPT2LMHeadModel.generate; `--variant loop` a loop by hand over plain functions and a cache of full length,
whose tokens are checked against the former's.
"""
import argparse
import json
import resource
import sys
import time

import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("layers", "hidden", "heads", "vocab-size", "positions", "prompt", "tokens", "batch", "threads"):
        parser.add_argument("--" + name, type=int, required=True)
    parser.add_argument("--variant", choices=["generate", "loop"], required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    return parser.parse_args()


class Loop:
    """The same arithmetic without modules: two fused products a sublayer, attention over views of a static cache."""

    def __init__(self, model, options):
        body = model.transformer
        self.heads = options.heads
        self.table, self.places = body.wte.weight, body.wpe.weight
        # Linear's [outputs, inputs] layout, whose products with one row are dot products along memory.
        def linear(conv):
            return conv.weight.t().contiguous(), conv.bias

        def norm(layer):
            return layer.weight, layer.bias

        self.layers = [
            (norm(b.ln_1), linear(b.attn.c_attn), linear(b.attn.c_proj), norm(b.ln_2), linear(b.mlp.c_fc), linear(b.mlp.c_proj))
            for b in body.h
        ]
        self.final = norm(body.ln_f)
        shape = (options.layers, 2, options.batch, options.heads, options.positions, options.hidden // options.heads)
        self.cache = torch.zeros(shape, dtype=self.table.dtype)

    def step(self, tokens, position):
        batch, seq = tokens.shape
        x = F.embedding(tokens, self.table) + self.places[position : position + seq]
        width = x.shape[-1]
        end = position + seq
        for (ln1, qkv, proj, ln2, up, down), (keys, values) in zip(self.layers, self.cache):
            h = F.linear(F.layer_norm(x, (width,), *ln1), *qkv)
            q, k, v = h.view(batch, seq, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            keys[:, :, position:end] = k
            values[:, :, position:end] = v
            y = F.scaled_dot_product_attention(q, keys[:, :, :end], values[:, :, :end], is_causal=seq > 1)
            x = x + F.linear(y.transpose(1, 2).reshape(batch, seq, width), *proj)
            h = F.gelu(F.linear(F.layer_norm(x, (width,), *ln2), *up), approximate="tanh")
            x = x + F.linear(h, *down)
        return F.linear(F.layer_norm(x[:, -1], (width,), *self.final), self.table)

    def generate(self, prompt, tokens):
        out = []
        logits = self.step(prompt, 0)
        for i in range(tokens):
            out.append(logits.argmax(-1, keepdim=True))
            if i + 1 < tokens:
                logits = self.step(out[-1], prompt.shape[1] + i)
        return torch.cat(out, 1)


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    config = GPT2Config(
        n_layer=options.layers, n_embd=options.hidden, n_head=options.heads, vocab_size=options.vocab_size,
        n_positions=options.positions, bos_token_id=None, eos_token_id=None, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
    )
    model = GPT2LMHeadModel(config).eval().to(torch.float32 if options.precision == "f32" else torch.bfloat16)
    prompt = (torch.arange(options.prompt) * 100 % options.vocab_size).repeat(options.batch, 1)

    def with_transformers(tokens):
        return model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, min_new_tokens=tokens,
            max_new_tokens=tokens, pad_token_id=0,
        )[:, options.prompt :]

    with torch.inference_mode():
        run = with_transformers
        if options.variant == "loop":
            loop = Loop(model, options)
            run = lambda tokens: loop.generate(prompt, tokens)
            if options.precision == "f32" and not torch.equal(run(4), with_transformers(4)):
                sys.exit("the loop's tokens are not those of transformers")
        run(4)
        for line in sys.stdin:
            command, *rest = line.split()
            if command == "end":
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                print(json.dumps({"peakBytes": peak, "version": torch.__version__}), flush=True)
                return
            times = []
            for _ in range(int(rest[0])):
                start = time.perf_counter()
                assert run(options.tokens).shape == (options.batch, options.tokens)
                times.append((time.perf_counter() - start) * 1e3)
            print(json.dumps({"stepMs": times}), flush=True)


if __name__ == "__main__":
    main()
