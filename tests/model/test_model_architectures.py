"""Small random models of many architectures: every score and every generated text is that of a plain one-row pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from dclm.core.errors import DataError
from dclm.eval.run.forward import Scorer
from dclm.eval.run.generate import Generator
from dclm.eval.run.interface import Request
from dclm.eval.tokenizer import Ids
from dclm.model.formats.adapter import HuggingFaceModel, huggingface_window
from dclm.model.formats.probe import probe_sizes

SIZES: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 160, "initializer_range": 0.3,
    "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
WINDOW = 12
SLIDING = ["sliding_attention", "full_attention"]
EXPERTS = {"num_local_experts": 2, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "mistral, window": ("Mistral", {"sliding_window": WINDOW}),
    "mixtral": ("Mixtral", EXPERTS),
    "qwen2": ("Qwen2", {}),
    "qwen2, window": ("Qwen2", {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}),
    "qwen3": ("Qwen3", {}),
    "qwen3_moe": ("Qwen3Moe", EXPERTS),
    "gemma": ("Gemma", {}),
    "gemma2": ("Gemma2", {"sliding_window": WINDOW, "layer_types": SLIDING, "query_pre_attn_scalar": 16}),
    "gemma3": ("Gemma3", {"sliding_window": WINDOW, "layer_types": SLIDING, "query_pre_attn_scalar": 16}),
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 160}),
    "gpt_neo": (
        "GPTNeo",
        {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    ),
    "gpt_neox": ("GPTNeoX", {}),
    "gptj": ("GPTJ", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 160, "rotary_dim": 8}),
    "gpt_bigcode": ("GPTBigCode", {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 160}),
    "opt": ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.3}),
    "bloom": ("Bloom", {"n_layer": 2, "n_head": 2}),
    "mpt": ("Mpt", {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": 160, "expansion_ratio": 2}),
    "falcon": ("Falcon", {"num_kv_heads": 1}),
    "falcon, alibi": ("Falcon", {"alibi": True, "num_kv_heads": 2}),
    "phi": ("Phi", {}),
    "phi3, window": ("Phi3", {"sliding_window": WINDOW}),
    "olmo": ("Olmo", {}),
    "olmo2": ("Olmo2", {}),
    "olmoe": ("Olmoe", EXPERTS),
    "stablelm": ("StableLm", {}),
    "starcoder2, window": ("Starcoder2", {"sliding_window": WINDOW}),
    "cohere": ("Cohere", {}),
    "granite": ("Granite", {}),
    "gpt_oss": ("GptOss", {**EXPERTS, "sliding_window": WINDOW, "layer_types": SLIDING}),
    "mamba": ("Mamba", {"state_size": 4, "time_step_rank": 4}),
    "mamba2": (
        "Mamba2", {"state_size": 8, "head_dim": 16, "num_heads": 4, "n_groups": 1, "expand": 2, "chunk_size": 16}
    ),
    "recurrent_gemma": (
        "RecurrentGemma", {"lru_width": 32, "attention_window_size": WINDOW, "block_types": ["recurrent", "attention"]}
    ),
    "falcon_h1": (
        "FalconH1",
        {"mamba_d_ssm": 32, "mamba_n_heads": 2, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 16},
    ),
}  # fmt: skip
CLASSES = {"GPT2": "GPT2LMHeadModel"}
NO_SHARING = {
    "mistral, window", "qwen2, window", "gemma2", "gemma3", "gpt_neo", "mpt", "phi3, window", "starcoder2, window",
    "gpt_oss", "mamba", "mamba2", "recurrent_gemma", "falcon_h1",
}  # fmt: skip
"""Models that read every row from its start, because a shared cache would change their scores."""
NO_PACKING = {"bloom", "falcon, alibi"}
"""Models that compute distances from places in a row."""


def build(name: str) -> HuggingFaceModel:
    """A random model, sharp enough to reveal a wrong mask."""
    kind, settings = ARCHITECTURES[name]
    suffix = "TextConfig" if kind == "Gemma3" else "Config"
    sizes = {key: value for key, value in SIZES.items() if key != "head_dim" or kind != "Falcon"}
    config = getattr(transformers, f"{kind}{suffix}")(**{**sizes, **settings})
    torch.manual_seed(7)
    return HuggingFaceModel(getattr(transformers, CLASSES.get(kind, f"{kind}ForCausalLM"))(config).eval())


class Numbers:
    """Token ids as text."""

    end_id = -1

    def decode(self, ids: list[int]) -> str:
        """The ids, separated by spaces."""
        return " ".join(map(str, ids))


def some_ids(count: int, seed: int) -> Ids:
    return tuple(np.random.default_rng(seed).integers(1, 96, count).tolist())


def plain(model: HuggingFaceModel, ids: Ids) -> Tensor:
    """Log-probabilities [T, V] of one row alone, by the model's own forward pass."""
    with torch.inference_mode():
        logits: Tensor = model.model(input_ids=torch.tensor([ids]), use_cache=False).logits
    return logits[0].float().log_softmax(dim=-1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_and_generated_texts_are_those_of_one_row_alone(name: str) -> None:
    model = build(name)
    passage = some_ids(60, 0)  # shared by two items, longer than any window here
    items = [
        [((*passage, 5, 6), some_ids(n, n)) for n in (1, 4, 9)],
        [((*passage, 7), some_ids(n, n)) for n in (2, 2)],
        [(some_ids(n, n), (3, 4)) for n in (3, 21)],
    ]
    for batch_tokens in (4096, 64):
        for pairs, scores in zip(items, Scorer(model, batch_tokens).score(items), strict=True):
            for (context, answer), score in zip(pairs, scores, strict=True):
                rows = plain(model, (*context, *answer))[len(context) - 1 : -1]
                expected = rows[range(len(answer)), answer]
                np.testing.assert_allclose(score.logprobs, expected.numpy(), atol=1e-4)
    prompts = [some_ids(n, n) for n in (5, 9, 31)]
    tokenizer: Any = Numbers()
    found = Generator(model, tokenizer, 4096).generate([Request(prompt=p, max_new_tokens=8) for p in prompts])
    for prompt, text in zip(prompts, found, strict=True):
        ids = prompt
        for _ in range(8):
            ids = (*ids, int(plain(model, ids)[-1].argmax()))
        assert text == " ".join(map(str, ids[len(prompt) :]))
    assert model.batching == ("padded" if name in NO_SHARING else "cached" if name in NO_PACKING else "packed")


def test_windows_are_found_by_whatever_the_configuration_calls_them(tmp_path: Path) -> None:
    for config, window in (
        (transformers.MptConfig(max_seq_len=160), 160),
        (transformers.GPT2Config(n_positions=96), 96),
        (transformers.LlamaConfig(max_position_embeddings=64), 64),
        (transformers.MambaConfig(), 2048),
        (transformers.BloomConfig(), 2048),
    ):
        config.save_pretrained(tmp_path / config.model_type)
        assert huggingface_window(tmp_path / config.model_type) == window
    assert huggingface_window(tmp_path / "mpt", 100) == 100
    with pytest.raises(DataError, match="found 161, allowed: at most 160"):
        huggingface_window(tmp_path / "mpt", 161)
    unknown = transformers.CpmAntConfig()
    unknown.save_pretrained(tmp_path / "unknown")
    with pytest.raises(DataError, match=r"(?s)cpmant model states no window.*--window N"):
        huggingface_window(tmp_path / "unknown")
    assert huggingface_window(tmp_path / "unknown", 100) == 100


def test_models_are_probed_beyond_every_window_that_their_texts_reach() -> None:
    config = transformers.Gemma2Config(sliding_window=512)
    assert probe_sizes(config, 8192) == [24, 520]
    assert probe_sizes(config, 512) == [24]
    assert probe_sizes(transformers.LlamaConfig(), 2048) == [24]


def test_a_cache_grows_beyond_its_reserved_room_and_copies_are_independent() -> None:
    model = build("llama")
    ids = torch.tensor([some_ids(24, 3), some_ids(24, 4)])
    with torch.inference_mode():
        expected = model.forward_hidden(ids)
        cache = model.new_cache(2, 3)
        found = [model.forward_hidden(ids[:, i : i + 2], cache=cache) for i in range(0, 16, 2)]
        copy = cache.select(torch.tensor([1, 0]))
        found += [model.forward_hidden(ids[:, i : i + 1], cache=cache) for i in range(16, 24)]
        swapped = [model.forward_hidden(ids.flip(0)[:, i : i + 1], cache=copy) for i in range(16, 24)]
    torch.testing.assert_close(torch.cat(found, dim=1), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.cat(swapped, dim=1).flip(0), expected[:, 16:], atol=1e-5, rtol=1e-4)
