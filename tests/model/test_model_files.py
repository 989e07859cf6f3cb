"""Models on disk: our checkpoints, open_lm's files, Hugging Face directories; intact, foreign and corrupt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from dclm.core.errors import ConfigError, DataError
from dclm.model.config import ModelConfig
from dclm.model.formats.hf import export_huggingface, import_huggingface
from dclm.model.formats.openlm import read_openlm, to_openlm, write_openlm
from dclm.model.load import find_checkpoint, list_checkpoints, load_model
from dclm.model.transformer import Transformer
from dclm.model.weights import CONFIG, MODEL, write_model

if TYPE_CHECKING:
    from conftest import MakeModel

METRICS = [{"loss": 3.5, "loss_sequences_lower_95": np.float64(3.4), "samples": np.int64(8)}]


def write(model: Transformer, directory: Path) -> Path:
    directory.mkdir(parents=True)
    write_model(directory, model.state_dict(), model.config, None)
    return directory


def logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = model(tokens)
    return out if isinstance(out, torch.Tensor) else out.logits


def test_a_checkpoint_is_read_back_as_it_was(make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path) -> None:
    model = make_model()
    for step in (5, 10):
        write(model, tmp_path / "run" / "checkpoints" / f"step-{step:06d}")
    loaded = load_model(tmp_path / "run")
    assert loaded.path.name == "step-000010"
    assert loaded.config == model.config
    assert torch.equal(logits(loaded.model, tokens), logits(model, tokens))


def test_half_precision_weights_keep_exact_angles(make_model: MakeModel, tmp_path: Path, tokens: torch.Tensor) -> None:
    model = make_model()
    loaded = load_model(write(model, tmp_path / "m"), dtype=torch.bfloat16).model
    assert isinstance(loaded, Transformer)
    assert loaded.tok_embeddings.weight.dtype == torch.bfloat16
    assert torch.equal(loaded.rotary.inv_freq, model.rotary.inv_freq)
    found = logits(loaded, tokens)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, logits(model, tokens), atol=0.3, rtol=0.1)


def test_a_runs_last_checkpoint_is_the_one_after_most_updates(tmp_path: Path) -> None:
    """The name for a million updates sorts before those for fewer."""
    for name in ("step-999999", "step-1000000", "step-000010", "step-old"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000010", "step-999999", "step-1000000"]
    assert find_checkpoint(tmp_path).name == "step-1000000"


def test_what_is_no_model_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hint: pass a checkpoint"):
        load_model(tmp_path)


def test_a_checkpoint_cut_short_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    path = write(make_model(), tmp_path / "m") / MODEL
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"corrupt"):
        load_model(tmp_path / "m")


def test_weights_of_another_shape_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    directory = write(make_model(), tmp_path / "m")
    config = json.loads((directory / CONFIG).read_text())
    config["model"]["vocab_size"] = 102
    (directory / CONFIG).write_text(json.dumps(config))
    with pytest.raises(DataError, match="of another shape"):
        load_model(directory)


def test_a_shape_that_cannot_be_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    directory = write(make_model(), tmp_path / "m")
    config = json.loads((directory / CONFIG).read_text())
    config["model"]["num_heads"] = 5
    (directory / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="heads"):
        load_model(directory)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_open_lm_files_are_read_whatever_wrapped_the_model(
    make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path, prefix: str
) -> None:
    model = make_model()
    model.rotary.inv_freq = model.rotary.inv_freq.bfloat16().float()
    state = {prefix + name: tensor for name, tensor in to_openlm(model.state_dict(), 2).items()}
    torch.save({"epoch": 5, "name": "x", "state_dict": state, "evaluation_metrics": METRICS}, tmp_path / "epoch_5.pt")
    loaded = load_model(tmp_path / "epoch_5.pt").model
    assert isinstance(loaded, Transformer)
    assert torch.equal(loaded.rotary.inv_freq, model.rotary.inv_freq)
    assert torch.equal(logits(loaded, tokens), logits(model, tokens))


@pytest.mark.shared
def test_written_open_lm_files_have_its_names(make_model: MakeModel, tmp_path: Path, shared: Path) -> None:
    names = json.loads((shared / "conformance" / "open_lm" / "v512_d128_l3_h8_s64.names.json").read_text())
    model = make_model(ModelConfig(hidden_dim=128, num_layers=3, num_heads=8, seq_len=64, vocab_size=512))
    write_openlm(model, tmp_path / "epoch_1.pt")
    content = torch.load(tmp_path / "epoch_1.pt", weights_only=True)
    assert {name: list(t.shape) for name, t in content["state_dict"].items()} == dict(names)
    assert read_openlm(tmp_path / "epoch_1.pt", seq_len=64).config == model.config


def test_open_lm_files_that_are_none_are_refused(make_model: MakeModel, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"no checkpoint")
    torch.save({"epoch": 1}, tmp_path / "b.pt")
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "c.pt")
    state = to_openlm(make_model().state_dict(), 2)
    state["layers.1.attention.pos_embed.inv_freq"] = torch.zeros(4)
    torch.save({"state_dict": state}, tmp_path / "d.pt")
    for name, message in (("a", "not a PyTorch"), ("b", "state_dict"), ("c", "no tensor"), ("d", "different rotary")):
        with pytest.raises(DataError, match=message):
            read_openlm(tmp_path / f"{name}.pt")


@pytest.mark.parametrize("rounded", [False, True], ids=["exact angles", "angles of an FSDP checkpoint"])
def test_an_exported_model_has_equal_logits_in_transformers(
    make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path, rounded: bool
) -> None:
    import transformers

    model = make_model()
    if rounded:
        model.rotary.inv_freq = model.rotary.inv_freq.bfloat16().float()
    export_huggingface(model, tmp_path / "hf")
    expected = logits(model, tokens)
    foreign = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    torch.testing.assert_close(logits(foreign.eval(), tokens), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(import_huggingface(tmp_path / "hf"), tokens), expected, atol=1e-4, rtol=1e-4)


def test_a_foreign_model_reads_through_its_cache_as_at_once(
    make_model: MakeModel, tokens: torch.Tensor, tmp_path: Path
) -> None:
    export_huggingface(make_model(), tmp_path / "hf")
    model = load_model(f"hf:{tmp_path / 'hf'}").model
    expected = logits(model, tokens)  # type: ignore[arg-type]
    with torch.no_grad():
        cache = model.new_cache(3, 24)
        model.forward_hidden(tokens[:, :12], cache=cache, lengths=torch.tensor([12, 5, 9]))
        picked = cache.select(torch.tensor([1, 2]))
        new = torch.stack([tokens[1, 5:12], tokens[2, 9:16]])
        found = model.head(model.forward_hidden(new, cache=picked))
        joined = picked.joined([cache], 24)
        places = [1, 2, 0, 1, 2], [12, 16, 12, 5, 9]
        last = model.head(model.forward_hidden(tokens[places][:, None], cache=joined))
    torch.testing.assert_close(found[0], expected[1, 5:12], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1], expected[2, 9:16], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(last[:, 0], expected[places], atol=1e-5, rtol=1e-4)


def test_foreign_directories_that_cannot_be_loaded_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such directory"):
        load_model(f"hf:{tmp_path / 'none'}")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(DataError, match="cannot load"):
        load_model(f"hf:{tmp_path}")
    with pytest.raises(DataError, match="olmoe with 1"):
        import_huggingface(tmp_path)
