"""The OpenLM decoder in PyTorch. Parameter names and arithmetic are open_lm's.

B batch, T tokens, V vocabulary, d width, H heads, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dclm.model.cache import KVCache, PassWindow
from dclm.model.config import NORM_EPS, ROTARY_BASE, ModelConfig
from dclm.model.interface import Batching, Cache


class Linear(nn.Module):
    """A matrix product without bias, at the precision of its input: float32 weights are cast for it, and stay
    float32."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out, num_in))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class LayerNorm(nn.Module):
    """LayerNorm with a gain and no bias, at the precision of its input.

    Source: open_lm gain_only_lp_layer_norm, which casts gain and input down under autocast.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight.to(x.dtype), None, NORM_EPS)


class Rotary(nn.Module):
    """Tables of the rotary position embedding.

    `inv_freq` [D/2] is a saved buffer, and a loaded one is used: open_lm's FSDP checkpoints contain values rounded to
    bfloat16, with which the model was trained. Deliberate difference: new models keep exact float32 values, and tables
    are computed in float32 (the reference rounds `inv_freq` to bfloat16 under mixed precision, an angle error of up to
    2.5 rad at position 2047).
    """

    inv_freq: Tensor

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", inverse_frequencies(head_dim))

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine, [..., T, 1, D/2], of `positions` [..., T]."""
        angles = positions[..., None, None].to(torch.float32) * self.inv_freq.to(torch.float32)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def inverse_frequencies(head_dim: int) -> Tensor:
    """base^(-2i/D) for i < D/2, float32."""
    return 1.0 / (ROTARY_BASE ** (torch.arange(0, head_dim, 2, device="cpu", dtype=torch.float32) / head_dim))


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the pairs (i, i + D/2) of each head by their angle (GPT-NeoX's layout). x [B, T, H, D]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class Attention(nn.Module):
    """Causal self-attention; queries and keys are normalized over the full width, before heads and rotation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.in_proj = Linear(config.hidden_dim, 3 * config.hidden_dim)
        self.out_proj = Linear(config.hidden_dim, config.hidden_dim)
        self.q_norm = LayerNorm(config.hidden_dim)
        self.k_norm = LayerNorm(config.hidden_dim)

    def forward(
        self, x: Tensor, cosine: Tensor, sine: Tensor, mask: Tensor | None, cache: KVCache | None, layer: int
    ) -> Tensor:
        batch, num_tokens, dim = x.shape
        heads = (batch, num_tokens, self.num_heads, dim // self.num_heads)
        queries, keys, values = self.in_proj(x).chunk(3, dim=-1)
        queries = rotate(self.q_norm(queries).view(heads), cosine, sine).transpose(1, 2)
        keys = rotate(self.k_norm(keys).view(heads), cosine, sine).transpose(1, 2)
        values = values.reshape(heads).transpose(1, 2)
        if cache is not None:
            keys, values = cache.append(layer, keys, values)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=mask is None)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(batch, num_tokens, dim))
        return out


class FeedForward(nn.Module):
    """SwiGLU: w3(silu(gate) · x), gate and x from one product."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w12 = Linear(config.hidden_dim, 2 * config.ffn_dim)
        self.w3 = Linear(config.ffn_dim, config.hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        gate, x = self.w12(x).chunk(2, dim=-1)
        out: Tensor = self.w3(F.silu(gate) * x)
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then + feed_forward(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm = LayerNorm(config.hidden_dim)
        self.ffn_norm = LayerNorm(config.hidden_dim)

    def forward(
        self, x: Tensor, cosine: Tensor, sine: Tensor, mask: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cosine, sine, mask, cache, self.layer)
        out: Tensor = x + self.feed_forward(self.ffn_norm(x))
        return out


class Transformer(nn.Module):
    """A language model: tokens in, float32 logits out.

    Weights are uninitialized (`dclm.model.init` and `dclm.model.load` fill them). The residual stream has
    `compute_dtype` (None: the embedding's dtype), and every product and norm follows it, as in the reference's FSDP
    mixed precision; parameters, logits and loss stay float32.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        self.checkpoint_activations = False
        """Recompute each block in the backward pass instead of keeping its activations."""
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_dim)
        self.rotary = Rotary(config.head_dim)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = LayerNorm(config.hidden_dim)
        self.output = Linear(config.hidden_dim, config.vocab_size)

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def batching(self) -> Batching:
        return "packed"

    @property
    def seq_len(self) -> int:
        return self.config.seq_len

    @property
    def device(self) -> torch.device:
        return self.tok_embeddings.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the residual stream, and of a cache."""
        return self.compute_dtype or self.tok_embeddings.weight.dtype

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for `batch` rows of at most `capacity` tokens, padding included."""
        return KVCache.create(self.config, batch, capacity, device=self.device, dtype=self.dtype)

    def forward(self, tokens: Tensor, *, cache: Cache | None = None, lengths: Tensor | None = None) -> Tensor:
        """Logits [B, T, V], float32, of the token after each of `tokens` [B, T]. See `forward_hidden`."""
        return self.head(self.forward_hidden(tokens, cache=cache, lengths=lengths))

    def forward_hidden(self, tokens: Tensor, *, cache: Cache | None = None, lengths: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, d] after the last norm, from which `head` computes logits where needed.

        With a cache, `tokens` continue its content, and are added to it. `lengths` [B]: number of real tokens in each
        right-padded row (None: all); without a cache it has no effect, because no token sees tokens to its right.
        """
        assert cache is None or isinstance(cache, KVCache)
        if cache is None:
            window = PassWindow(torch.arange(tokens.shape[1], device=tokens.device), None)
        else:
            window = cache.window(tokens.shape[1], lengths)
        hidden = self._blocks(tokens, window, cache)
        if cache is not None:
            cache.advance(tokens.shape[1], lengths)
        return hidden

    def forward_packed(self, tokens: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        """See `dclm.model.interface.LanguageModel`."""
        return self._blocks(tokens, PassWindow(positions, seen[:, None]), None)

    def _blocks(self, tokens: Tensor, window: PassWindow, cache: KVCache | None) -> Tensor:
        x = self.tok_embeddings(tokens)
        if self.compute_dtype is not None:
            x = x.to(self.compute_dtype)
        cosine, sine = self.rotary(window.positions, x.dtype)
        for block in self.layers:
            if self.checkpoint_activations and self.training:
                x = checkpoint(block, x, cosine, sine, use_reentrant=False)
            else:
                x = block(x, cosine, sine, window.mask, cache)
        hidden: Tensor = self.norm(x)
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [..., V], float32, of hidden states [..., d]."""
        logits: Tensor = self.output(hidden).float()
        return logits
