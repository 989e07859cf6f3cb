"""Loading never runs code: code planted in every model format, and configs that lie about their size."""

from __future__ import annotations

import json
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import gguf
import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hostile_models import Payload, assert_refused, checkpoint, huggingface, pickled, run_limited
from safetensors.torch import save, save_file

from dclm.core.config import load_yaml
from dclm.core.errors import DclmError
from dclm.eval.run.eval_model import load_eval_model, outline
from dclm.eval.tokenizer import Tokenizer
from dclm.filters.fasttext_file import require_fasttext
from dclm.model.formats.gguf import huggingface_from_gguf
from dclm.model.formats.openlm import read_openlm
from dclm.model.load import load_model
from dclm.model.shards import load_shards, read_shards, write_shards
from dclm.pool.files import list_files
from dclm.pool.texts.parquet import read_batches
from dclm.tokens.tokenizer import open_tokenizer


def _save_torch(path: Path, content: object) -> None:
    with path.open("wb") as handle:
        torch.save(content, handle)


def _save_numpy(path: Path, array: np.ndarray[tuple[int], np.dtype[np.object_]]) -> None:
    with path.open("wb") as handle:
        np.save(handle, array, allow_pickle=True)


WRITERS = {
    "pickle": lambda path, marker: path.write_bytes(pickled(marker)),
    "torch": lambda path, marker: _save_torch(path, {"state_dict": Payload(marker)}),
    "old torch": lambda path, marker: torch.save(
        {"state_dict": Payload(marker)}, path, _use_new_zipfile_serialization=False
    ),
    "numpy": lambda path, marker: _save_numpy(path, np.array([Payload(marker)], dtype=object)),
    "joblib": lambda path, marker: joblib.dump(Payload(marker), path),
}
"""The ways in which Python libraries pack a pickle into a file."""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "the planted code has run"


def test_the_payload_would_run(marker: Path) -> None:
    pickle.loads(pickled(marker))
    assert marker.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", WRITERS)
def test_no_file_of_weights_is_unpickled(kind: str, marker: Path, tmp_path: Path) -> None:
    """open_lm's .pt, a checkpoint's safetensors, a Hugging Face directory's .bin and safetensors, and GGUF."""
    plant = WRITERS[kind]
    plant(tmp_path / "epoch_1.pt", marker)
    ours = checkpoint(tmp_path / "ours")
    plant(ours / "model.safetensors", marker)
    binary, safe = huggingface(tmp_path / "binary"), huggingface(tmp_path / "safe")
    (binary / "model.safetensors").unlink()
    plant(binary / "pytorch_model.bin", marker)
    plant(safe / "model.safetensors", marker)
    for model in (tmp_path / "epoch_1.pt", ours, f"hf:{binary}", f"hf:{safe}"):
        with pytest.raises(DclmError) as caught:
            load_model(model)
        assert_refused(caught.value, marker)
    plant(tmp_path / "model.gguf", marker)
    with pytest.raises(DclmError) as caught:
        huggingface_from_gguf(tmp_path / "model.gguf", tmp_path / "out")
    assert_refused(caught.value, marker)


@pytest.mark.parametrize("kind", WRITERS)
def test_no_sharded_checkpoint_is_unpickled(kind: str, marker: Path, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "step-000010")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are no ranks
        write_shards(folder, {"model.a": torch.zeros(2)})
    WRITERS[kind](folder / "shards" / ".metadata", marker)
    for load in (lambda: load_model(folder), lambda: load_shards(folder, {"model.a": torch.zeros(2)})):
        with pytest.raises(DclmError, match="a pickle, which can run code") as caught:
            load()
        assert_refused(caught.value, marker)
    (folder / "shards" / ".metadata").unlink()
    (part,) = (folder / "shards").glob("*.safetensors")
    WRITERS[kind](part, marker)
    with pytest.raises(DclmError, match="cannot be read") as caught:
        load_model(folder)
    assert_refused(caught.value, marker)


@pytest.mark.parametrize("kind", WRITERS)
def test_no_other_file_is_unpickled(kind: str, marker: Path, tmp_path: Path) -> None:
    """A tokenizer, a classifier, a Parquet file and a YAML file."""
    path = tmp_path / "planted.parquet"
    WRITERS[kind](path, marker)
    for load in (Tokenizer, require_fasttext, load_yaml):
        with pytest.raises(DclmError) as caught:
            load(path)  # type: ignore[operator]
        assert_refused(caught.value, marker)
    damage: list[str] = []
    assert not list(read_batches(list_files([str(path)])[0], damage, 100, 1 << 20))
    assert damage
    assert not marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['echo run > {}']",
        "a: !!python/name:os.system ''",
        "a: !function planted.run",
        "!!python/object/new:os.system ['echo run > {}']",
    ],
)
def test_no_tag_of_yaml_runs(text: str, marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(text.format(marker))
    (tmp_path / "planted.py").write_text(f"open({str(marker)!r}, 'w')")
    with pytest.raises(DclmError, match=r"not allowed|not valid") as caught:
        load_yaml(path)
    assert_refused(caught.value, marker)


def test_no_code_of_a_hugging_face_directory_runs(marker: Path, tmp_path: Path) -> None:
    code = f"open({str(marker)!r}, 'w')\nclass Config: pass\nclass Model: pass\n"
    remote = {"AutoConfig": "planted.Config", "AutoModelForCausalLM": "planted.Model", "AutoTokenizer": "planted.Model"}
    for name, kind in (("unknown", "planted"), ("known", "llama")):
        folder = huggingface(tmp_path / name, model_type=kind, auto_map=remote)
        (folder / "planted.py").write_text(code)
        (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": remote, "tokenizer_class": "Planted"}))
        for load in (lambda f: load_model(f"hf:{f}"), lambda f: load_eval_model(f"hf:{f}", "cpu", "float32")):
            with pytest.raises(DclmError) as caught:
                load(folder)
            assert_refused(caught.value, marker)


def test_no_kernel_is_fetched_for_a_config(marker: Path, tmp_path: Path) -> None:
    folder = huggingface(tmp_path / "model", attn_implementation="someone/kernel")
    with pytest.raises(DclmError, match="names code to be downloaded") as caught:
        load_model(f"hf:{folder}")
    assert_refused(caught.value, marker)


def test_no_arrow_extension_type_is_unpickled(marker: Path, tmp_path: Path) -> None:
    """Old pyarrow unpickled the type that a schema names as `arrow.py_extension_type`."""
    planted = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled(marker)}
    schema = pa.schema([pa.field("text", pa.string(), metadata=planted)])
    path = tmp_path / "planted.parquet"
    pq.write_table(pa.table([pa.array(["a page"])], schema=schema), path)
    (batch,) = read_batches(list_files([str(path)])[0], [], 100, 1 << 20)
    assert batch["text"].to_pylist() == ["a page"]
    assert not marker.exists()


def test_a_pt_file_may_name_nothing_but_tensors(marker: Path, tmp_path: Path) -> None:
    """NumPy's scalars, which open_lm's files contain, are not a way in for objects."""
    scalar, kind = np.float64(0).__reduce__()[0], np.dtype("O")

    class Scalar:
        def __reduce__(self) -> tuple[object, ...]:
            return scalar, (kind, pickled(marker))

    torch.save({"state_dict": {}, "evaluation_metrics": Scalar()}, tmp_path / "scalar.pt")
    torch.save({"state_dict": {"tok_embeddings.weight": 7}}, tmp_path / "seven.pt")
    torch.save({"state_dict": {"tok_embeddings.weight": torch.zeros(3), "x.inv_freq": torch.zeros(0)}},
               tmp_path / "shape.pt")  # fmt: skip
    torch.save([1], tmp_path / "list.pt")
    with zipfile.ZipFile(tmp_path / "empty.pt", "w"):
        pass
    for name in ("scalar", "seven", "shape", "list", "empty"):
        with pytest.raises(DclmError) as caught:
            read_openlm(tmp_path / f"{name}.pt")
        assert_refused(caught.value, marker)


LOAD = """
import sys
from dclm.core.errors import DclmError
from dclm.model.load import load_model
from dclm.model.formats.gguf import huggingface_from_gguf
from pathlib import Path
for model in sys.argv[1:]:
    try:
        huggingface_from_gguf(Path(model), Path(model + ".out")) if model.endswith(".gguf") else load_model(model)
    except DclmError as error:
        print(str(error).splitlines()[1])
"""


def test_configs_that_lie_of_their_size_are_refused_at_once(tmp_path: Path) -> None:
    """A billion layers, experts or dimensions, in one process with 8 GiB and 60 s."""
    models = []
    lies = {"deep": {"num_layers": 10**9}, "wide": {"hidden_dim": 2**30}, "many": {"vocab_size": 2**62}}
    for name, changes in lies.items():
        folder = checkpoint(tmp_path / name, **changes)
        save_file({"tok_embeddings.weight": torch.zeros(97, 16)}, folder / "model.safetensors")
        models.append(str(folder))
    for name, value in (
        ("num_hidden_layers", 10**9), ("hidden_size", 10**9), ("vocab_size", 2**40), ("num_key_value_heads", 2**40),
        ("intermediate_size", 10**9), ("num_local_experts", 10**9),
    ):  # fmt: skip
        models.append(f"hf:{huggingface(tmp_path / name, **{name: value})}")
    models.append(str(_gguf(tmp_path / "deep.gguf", 10**9)))
    done = run_limited(LOAD, *models, memory=8 << 30)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == len(models), done.stdout


def _gguf(path: Path, layers: int) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_embedding_length(16)
    writer.add_tensor("token_embd.weight", np.zeros((32, 16), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_headers_of_safetensors_and_gguf_that_lie_are_refused(marker: Path, tmp_path: Path) -> None:
    whole = save({"tok_embeddings.weight": torch.zeros(97, 16)})
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header["tok_embeddings.weight"]["shape"] = [1 << 62, 1 << 62]
    forged = json.dumps(header).encode()
    for data in (b"", whole[:5], whole[:40], struct.pack("<Q", 1 << 62) + whole[8:], b"\xff" * 64,
                 struct.pack("<Q", len(forged)) + forged + whole[8 + length :]):  # fmt: skip
        ours, foreign = checkpoint(tmp_path / "ours"), huggingface(tmp_path / "foreign")
        for folder in (ours, foreign):
            (folder / "model.safetensors").write_bytes(data)
        for model in (ours, f"hf:{foreign}"):
            with pytest.raises(DclmError) as caught:
                load_model(model)
            assert_refused(caught.value, marker)
    data = _gguf(tmp_path / "whole.gguf", 1).read_bytes()
    for length in (0, 3, 4, 20, 60, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.gguf").write_bytes(data[:length])
        with pytest.raises(DclmError) as caught:
            huggingface_from_gguf(tmp_path / "cut.gguf", tmp_path / "out")
        assert_refused(caught.value, marker)


def test_a_part_of_a_sharded_checkpoint_that_is_gone_or_forged_is_told(marker: Path, tmp_path: Path) -> None:
    """Two ranks' files of a tensor: without one of them, memory would stay uninitialized; a part may not be
    elsewhere."""
    folder = checkpoint(tmp_path / "step-000010")
    (folder / "shards").mkdir()

    def part(number: int, offset: list[int]) -> None:
        info = json.dumps({"model.a": {"saved_offsets": offset}})
        path = folder / "shards" / f"shard-{number:05d}-model-00001-of-00001.safetensors"
        save_file({"model.a": torch.full((2, 3), float(number))}, path, metadata={"DCP_SHARDING_INFO": info})

    part(1, [0, 0])
    part(2, [2, 0])
    assert read_shards(folder)["a"][:, 0].tolist() == [1, 1, 2, 2]
    for offset in ([4, 0], [-2, 0], [2], [2, 0, 0], [1 << 62, 0], [0, 0]):
        part(2, offset)
        with pytest.raises(DclmError, match="cannot be read") as caught:
            read_shards(folder)
        assert_refused(caught.value, marker)


def test_odd_tokenizers_are_refused(marker: Path, tmp_path: Path) -> None:
    folder = huggingface(tmp_path / "model")
    for text in ("", "{}", "[" * 100_000, '{"version": "1.0", "model": {"type": "BPE"}}', "\0" * 100):
        (folder / "tokenizer.json").write_text(text)
        with pytest.raises(DclmError) as caught:
            Tokenizer(folder / "tokenizer.json")
        assert_refused(caught.value, marker)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(DclmError) as caught:
        outline(f"hf:{folder}")
    assert_refused(caught.value, marker)


def test_a_tokenizer_with_a_huge_id_is_refused_before_anything_is_tokenized(marker: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    model = {"type": "WordLevel", "vocab": {"a": 0, "<|endoftext|>": 2**32 - 2}, "unk_token": "a"}
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    with pytest.raises(DclmError, match=r"with the id 4,294,967,294, allowed: below 4,194,304") as caught:
        open_tokenizer(str(path))
    assert_refused(caught.value, marker)
