"""Llama in plain PyTorch, arithmetic as in transformers' LlamaForCausalLM: pre-norm layers with RMS norms, rotary positions,
grouped key/value heads, a SwiGLU feed-forward part, no biases, no dropout. Queries, keys and values are one product, gate
and up another. test/bench/torch_llama_golden.py compares it with transformers' own outputs.
"""
import torch
from torch import nn
from torch.nn import functional as F


def rotary_frequencies(head_size, theta=10_000.0):
    """Inverse frequencies of the pairs of a head (Su et al., arXiv 2104.09864)."""
    return 1.0 / theta ** (torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)


class Rotary(nn.Module):
    """Element j of a head's first half and element j of its second are one pair."""

    def __init__(self, seq, frequencies):
        super().__init__()
        angles = torch.outer(torch.arange(seq, dtype=torch.float32), frequencies).repeat(1, 2)
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)

    def forward(self, x):
        seq = x.shape[-2]
        cosines, sines = self.cosines[:seq].to(x.dtype), self.sines[:seq].to(x.dtype)
        first, second = x.chunk(2, -1)
        return x * cosines + torch.cat((-second, first), -1) * sines


class GroupedAttention(nn.Module):
    """Each key/value head serves heads / key_value_heads query heads (Ainslie et al., arXiv 2305.13245)."""

    def __init__(self, options):
        super().__init__()
        self.heads, self.key_value_heads = options.heads, options.key_value_heads
        self.head_size = options.hidden // options.heads
        self.qkv = nn.Linear(options.hidden, (self.heads + 2 * self.key_value_heads) * self.head_size, bias=False)
        self.output = nn.Linear(self.heads * self.head_size, options.hidden, bias=False)

    def forward(self, x, rotary):
        batch, seq, hidden = x.shape
        heads = self.qkv(x).view(batch, seq, -1, self.head_size).transpose(1, 2)
        turned, value = heads.split((self.heads + self.key_value_heads, self.key_value_heads), 1)
        query, key = rotary(turned).split((self.heads, self.key_value_heads), 1)
        grouped = self.key_value_heads < self.heads
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        return self.output(y.transpose(1, 2).reshape(batch, seq, hidden))


class LlamaLayer(nn.Module):
    def __init__(self, options, epsilon):
        super().__init__()
        hidden, ffn = options.hidden, options.ffn
        self.attention = GroupedAttention(options)
        self.up, self.down = nn.Linear(hidden, 2 * ffn, bias=False), nn.Linear(ffn, hidden, bias=False)
        self.norm1, self.norm2 = nn.RMSNorm(hidden, epsilon), nn.RMSNorm(hidden, epsilon)

    def feed_forward(self, x):
        gate, up = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)

    def forward(self, x, rotary):
        x = x + self.attention(self.norm1(x), rotary)
        return x + self.feed_forward(self.norm2(x))


class Llama(nn.Module):
    def __init__(self, options, frequencies=None, epsilon=1e-5, tied=True):
        super().__init__()
        if frequencies is None:
            frequencies = rotary_frequencies(options.hidden // options.heads)
        self.words = nn.Embedding(options.vocab_size, options.hidden)
        self.rotary = Rotary(options.seq, frequencies)
        self.layers = nn.ModuleList(LlamaLayer(options, epsilon) for _ in range(options.layers))
        self.norm = nn.RMSNorm(options.hidden, epsilon)
        self.head = nn.Linear(options.hidden, options.vocab_size, bias=False)
        if tied:
            self.head.weight = self.words.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def logits(self, tokens):
        x = self.words(tokens)
        for layer in self.layers:
            x = layer(x, self.rotary)
        return self.head(self.norm(x)).flatten(0, 1)

    def forward(self, tokens, labels, _masked=None):
        return F.cross_entropy(self.logits(tokens).float(), labels)
