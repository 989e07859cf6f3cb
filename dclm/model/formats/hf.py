"""Export to a directory that `transformers` loads directly, without custom code, and import back.

No architecture of `transformers` has LayerNorm without bias and QK-norm over the full width. But LayerNorm is RMSNorm
of a vector with mean 0, and subtracting the mean is linear: once this is done to the weights that write into a normed
vector (embedding, out_proj, w3, and the query and key rows of in_proj), every LayerNorm here equals an RMSNorm exactly.
The rest is OLMoE with one expert, to which its router gives the weight softmax([x]) = 1: pre-norm, RMS QK-norm over the
full width, rotary positions in halves, SwiGLU. Logits are equal up to rounding; an exported and re-imported model has
different weights (their means are gone) and the same logits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from dclm.core.errors import DataError
from dclm.core.storage import atomic_directory
from dclm.model.config import NORM_EPS, ROTARY_BASE, ModelConfig
from dclm.model.formats.foreign import LOADING_FAULTS, first_line, require_harmless
from dclm.model.transformer import Transformer, inverse_frequencies
from dclm.model.weights import TOKENIZER_CONFIG, assemble

BLOCK_NAMES = {
    "attention.out_proj.weight": "self_attn.o_proj.weight",
    "attention.q_norm.weight": "self_attn.q_norm.weight",
    "attention.k_norm.weight": "self_attn.k_norm.weight",
    "attention_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
}
TOP_NAMES = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def export_huggingface(model: Transformer, out: Path, tokenizer: Path | None = None) -> None:
    """Write `model` to the directory `out` as a `transformers` model, with its tokenizer if given.

    Raises: DataError if the tokenizer lacks the token that it names as the end of text.
    """
    import transformers

    config, end, begin = model.config, _end_of_text(tokenizer), _named(tokenizer, "bos_token")
    settings = transformers.OlmoeConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_dim,
        intermediate_size=config.ffn_dim,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        max_position_embeddings=config.seq_len,
        rms_norm_eps=NORM_EPS,
        rope_parameters=_rope(model.rotary.inv_freq.cpu(), config),
        num_experts=1,
        num_experts_per_tok=1,
        pad_token_id=None,
        bos_token_id=end.id if begin is None else begin.id,
        eos_token_id=end.id,
        dtype="float32",
    )
    with torch.device("meta"):
        shell: Any = transformers.OlmoeForCausalLM(settings)
    shell.load_state_dict(to_huggingface(model.state_dict(), config), assign=True)
    with atomic_directory(out) as directory:
        shell.save_pretrained(directory)
        if tokenizer is not None:
            make_tokenizer: Any = transformers.PreTrainedTokenizerFast
            names = {"eos_token": end.token} | ({} if begin is None else {"bos_token": begin.token})
            make_tokenizer(tokenizer_file=str(tokenizer), **names).save_pretrained(directory)


class SpecialToken(NamedTuple):
    """A token that begins or ends a document."""

    token: str
    id: int


def _end_of_text(tokenizer: Path | None) -> SpecialToken:
    """From the tokenizer_config.json next to the tokenizer, if there is one; else GPT-NeoX-20B's."""
    found = _named(tokenizer, "eos_token")
    return SpecialToken("<|endoftext|>", 0) if found is None else found


def _named(tokenizer: Path | None, name: str) -> SpecialToken | None:
    """A token named in the tokenizer_config.json next to the tokenizer; None if it names none."""
    if tokenizer is None or not tokenizer.with_name(TOKENIZER_CONFIG).is_file():
        return None
    token = json.loads(tokenizer.with_name(TOKENIZER_CONFIG).read_text(encoding="utf-8")).get(name)
    if token is None:
        return None
    found = Tokenizer.from_file(str(tokenizer)).token_to_id(token)
    if found is None:
        raise DataError(str(tokenizer), f"no token {token!r}, which {TOKENIZER_CONFIG} names as `{name}`")
    return SpecialToken(token, found)


def import_huggingface(directory: Path) -> Transformer:
    """The model that `export_huggingface` wrote to `directory`.

    Raises: DataError if it is a model of another architecture (score such a model as `hf:DIRECTORY`).
    """
    import transformers

    try:
        settings: Any = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(str(directory), f"no readable config.json: {error}") from None
    found = (settings.get("model_type"), settings.get("num_experts"))
    if found != ("olmoe", 1):
        what = f"found a {found[0]} model with {found[1]} experts, allowed: olmoe with 1, as dclm exports"
        raise DataError(str(directory), what, f"evaluate it as hf:{directory}")
    require_harmless(directory)
    try:
        shell: Any = transformers.OlmoeForCausalLM.from_pretrained(
            directory, dtype=torch.float32, local_files_only=True
        )
        config = ModelConfig(
            hidden_dim=settings["hidden_size"],
            num_layers=settings["num_hidden_layers"],
            num_heads=settings["num_attention_heads"],
            seq_len=settings["max_position_embeddings"],
            vocab_size=settings["vocab_size"],
        )
    except LOADING_FAULTS as error:
        raise DataError(str(directory), f"transformers cannot load it: {first_line(error)}") from error
    state = from_huggingface(shell.state_dict(), config)
    state["rotary.inv_freq"] = _frequencies(settings["rope_parameters"], config)
    return assemble(config, state, str(directory))


def to_huggingface(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """OLMoE's parameters that give the same logits as `state` (our names)."""
    out = {theirs: state[ours] for ours, theirs in TOP_NAMES.items()}
    out[TOP_NAMES["tok_embeddings.weight"]] = _centred(state["tok_embeddings.weight"], dim=1)
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        for name, other in BLOCK_NAMES.items():
            out[theirs + other] = state[ours + name]
        queries, keys, values = state[ours + "attention.in_proj.weight"].chunk(3)
        out[theirs + "self_attn.q_proj.weight"] = _centred(queries, dim=0)
        out[theirs + "self_attn.k_proj.weight"] = _centred(keys, dim=0)
        out[theirs + "self_attn.v_proj.weight"] = values
        out[theirs + "self_attn.o_proj.weight"] = _centred(state[ours + "attention.out_proj.weight"], dim=0)
        out[theirs + "mlp.experts.gate_up_proj"] = state[ours + "feed_forward.w12.weight"][None]
        out[theirs + "mlp.experts.down_proj"] = _centred(state[ours + "feed_forward.w3.weight"], dim=0)[None]
        out[theirs + "mlp.gate.weight"] = torch.zeros(1, config.hidden_dim)
    return {name: tensor.detach().float().cpu().contiguous() for name, tensor in out.items()}


def from_huggingface(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our parameters from those that `to_huggingface` makes."""
    out = {ours: state[theirs] for ours, theirs in TOP_NAMES.items()}
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        for name, other in BLOCK_NAMES.items():
            out[ours + name] = state[theirs + other]
        projections = [state[f"{theirs}self_attn.{part}_proj.weight"] for part in "qkv"]
        out[ours + "attention.in_proj.weight"] = torch.cat(projections)
        out[ours + "feed_forward.w12.weight"] = state[theirs + "mlp.experts.gate_up_proj"][0]
        out[ours + "feed_forward.w3.weight"] = state[theirs + "mlp.experts.down_proj"][0]
    return out


def _centred(weight: Tensor, dim: int) -> Tensor:
    """`weight` whose product has mean 0 over the width: its mean along `dim` is subtracted, computed in float64."""
    exact = weight.detach().double()
    return exact - exact.mean(dim=dim, keepdim=True)


def _rope(inv_freq: Tensor, config: ModelConfig) -> dict[str, object]:
    """Rotary parameters; frequencies that differ from the formula are factors on it (type `longrope`)."""
    formula = inverse_frequencies(config.head_dim)
    if torch.equal(formula, inv_freq):
        return {"rope_type": "default", "rope_theta": ROTARY_BASE}
    factors = (formula.double() / inv_freq.double()).tolist()
    return {
        "rope_type": "longrope",
        "rope_theta": ROTARY_BASE,
        "short_factor": factors,
        "long_factor": factors,
        "factor": 1.0,
        "attention_factor": 1.0,
    }


def _frequencies(rope: Mapping[str, Any], config: ModelConfig) -> Tensor:
    formula = inverse_frequencies(config.head_dim)
    if rope["rope_type"] == "default":
        return formula
    return (formula.double() / torch.tensor(rope["short_factor"], dtype=torch.float64)).float()
