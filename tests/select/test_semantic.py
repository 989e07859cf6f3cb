"""Embeddings, spherical k-means and SemDeDup: pooling, planted truth, a plain computation, workers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from engine_runs import run_twice, write_pool
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from dclm.assets import resolve
from dclm.core.config import build, parse_yaml
from dclm.core.errors import AssetError, ConfigError
from dclm.curate.step import Context
from dclm.dedup.serial import decide
from dclm.select.language_model.encoder import _num_positions
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.kmeans import spherical_kmeans
from dclm.select.semantic.nearest import nearest, nearest_before
from dclm.select.semantic.pooling import takes_first_token
from dclm.select.semantic.semdedup import Keep, SemDedup
from dclm.select.semantic.vectors import unit_vectors, vector_array

WORDS = ["[UNK]", *(f"w{i}" for i in range(60))]


@pytest.fixture(scope="module")
def static_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random static embeddings of 60 words."""
    folder = tmp_path_factory.mktemp("static")
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    draw = np.random.default_rng(0)
    table = draw.standard_normal((len(WORDS), 16)).astype(np.float32)
    save_file({"embeddings": table, "weights": np.linspace(0.5, 2, len(WORDS))}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def embed(step: Embed, texts: list[str]) -> pa.Array:
    files = {asset: str(resolve(asset, directories=True).path) for asset in step.assets}
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    return step.open(Context(files=files))(batch).column(step.column)


def test_a_static_embedding_is_the_weighted_mean_of_known_tokens(static_model: Path) -> None:
    found = embed(Embed(model=str(static_model), max_tokens=4), ["w1 w2 nothing", "nothing", "", "w3 w3 w3 w3 w9"])
    assert found.type == pa.list_(pa.float16(), 16)
    assert found.is_valid().to_pylist() == [True, False, False, True]
    from safetensors.numpy import load_file

    tensors = load_file(static_model / "model.safetensors")
    rows = tensors["embeddings"] * tensors["weights"][:, None]
    w = WORDS.index
    for place, expected in ((0, rows[w("w1")] + rows[w("w2")]), (3, rows[w("w3")])):
        unit = expected / np.linalg.norm(expected)
        np.testing.assert_allclose(np.array(found[place].as_py(), np.float32), unit, atol=1e-3)
    assert embed(Embed(model=str(static_model)), []).type == found.type


@pytest.mark.parametrize(
    ("pooling", "first"),
    [
        (None, False),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, False),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, True),
        ({"pooling_mode": "cls"}, True),
    ],
)
def test_a_sentence_encoder_gives_the_mean_over_real_tokens_or_the_first(
    static_model: Path, tmp_path: Path, pooling: dict[str, object] | None, first: bool
) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32,
    )  # fmt: skip
    model = BertModel(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((static_model / "tokenizer.json").read_bytes())
    if pooling is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    texts = ["w1", "w2 w3 w4 w5 w6 w7 w8", " ", "w9 w10", "w5 " * 40]
    found = embed(Embed(model=str(tmp_path), max_tokens=16), texts)
    assert found.is_valid().to_pylist() == [True, True, False, True, True]
    for text, vector in zip(texts, found.to_pylist(), strict=True):
        if vector is not None:
            ids = torch.tensor([[WORDS.index(w) for w in text.split()][:16]])
            with torch.inference_mode():
                hidden = model(ids).last_hidden_state[0]
            whole = (hidden[0] if first else hidden.mean(0)).numpy()
            np.testing.assert_allclose(np.array(vector, np.float32), whole / np.linalg.norm(whole), atol=1e-3)
    with pytest.raises(ConfigError, match="max_tokens 33, allowed: at most the 32"):
        embed(Embed(model=str(tmp_path), max_tokens=33), texts)


def test_positions_of_roberta_begin_after_its_padding() -> None:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=18, pad_token_id=1,
    )  # fmt: skip
    model = RobertaModel(config).eval()
    assert _num_positions(model) == 16
    model(input_ids=torch.full((1, 16), 3))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, 17), 3))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"pooling_mode_max_tokens": true}', "the pooling is max_tokens, allowed: the mean or the first token"),
        ('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}', "cls_token, mean_tokens, allowed"),
        ("{}", "the pooling is none"),
        ("[]", "not a description of pooling"),
        ("{", "not a description of pooling"),
    ],
)
def test_pooling_of_another_kind_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(text)
    with pytest.raises(AssetError, match=what):
        takes_first_token(tmp_path)


def field(number: int, value: bytes | int) -> bytes:
    """A field of a protocol buffer."""

    def varint(n: int) -> bytes:
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx_lookup(table: np.ndarray, name: bytes = b"input_ids") -> bytes:
    """An ONNX model that gives the row of `table` for each token."""

    def tensor(name: bytes, kind: int, *shape: bytes) -> bytes:
        sizes = b"".join(field(1, size) for size in shape)
        return field(1, name) + field(2, field(1, field(1, kind) + field(2, sizes)))

    rows, size = table.shape
    weights = field(1, rows) + field(1, size) + field(2, 1) + field(8, b"table") + field(9, table.tobytes())
    node = field(1, b"table") + field(1, name) + field(2, b"last_hidden_state") + field(4, b"Gather")
    free = [field(2, b"texts"), field(2, b"tokens")]
    graph = field(1, node) + field(2, b"lookup") + field(5, weights)
    graph += field(11, tensor(name, 7, *free)) + field(12, tensor(b"last_hidden_state", 1, *free, field(1, size)))
    return field(1, 8) + field(8, field(2, 13)) + field(7, graph)


def test_an_onnx_model_gives_the_mean_over_tokens(static_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    table = np.random.default_rng(2).standard_normal((len(WORDS), 6)).astype(np.float32)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(onnx_lookup(table))
    with pytest.raises(AssetError, match=r"no tokenizer\.json in it"):
        embed(Embed(model=str(tmp_path)), ["a"])
    (tmp_path / "tokenizer.json").write_bytes((static_model / "tokenizer.json").read_bytes())
    texts = ["w1", "w2 w3 w3", " ", "", "w5 w6 " * 40]
    found = embed(Embed(model=str(tmp_path), max_tokens=3), texts)
    assert found.is_valid().to_pylist() == [True, True, False, False, True]
    for text, vector in zip(texts, found.to_pylist(), strict=True):
        if vector is not None:
            mean = table[[WORDS.index(word) for word in text.split()[:3]]].mean(0)
            np.testing.assert_allclose(np.array(vector, np.float32), mean / np.linalg.norm(mean), atol=1e-3)
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    first = table[WORDS.index("w2")]
    (vector,) = embed(Embed(model=str(tmp_path), max_tokens=3), texts[1:2]).to_pylist()
    np.testing.assert_allclose(np.array(vector, np.float32), first / np.linalg.norm(first), atol=1e-3)


def test_onnx_models_that_are_damaged_or_read_something_else_are_refused(static_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "tokenizer.json").write_bytes((static_model / "tokenizer.json").read_bytes())
    table = np.ones((4, 2), np.float32)
    for content, what in (
        (b"not a model", "onnxruntime cannot read it"),
        (onnx_lookup(table)[:-20], "onnxruntime cannot read it"),
        (onnx_lookup(table, b"pixels"), "its inputs are pixels; allowed: input_ids"),
    ):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(AssetError, match=what):
            embed(Embed(model=str(tmp_path)), ["w1"])


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"no model\.safetensors in it"):
        embed(Embed(model=str(tmp_path)), ["a"])


def planted(groups: int, copies: int, size: int = 12, seed: int = 1) -> np.ndarray:
    """[groups · copies, size]: `copies` vectors close to each of `groups` random directions, mixed."""
    draw = np.random.default_rng(seed)
    centers = draw.standard_normal((groups, size))
    vectors = np.repeat(centers / np.linalg.norm(centers, axis=1, keepdims=True), copies, axis=0)
    vectors = vectors + 0.04 * draw.standard_normal(vectors.shape)
    return vectors[draw.permutation(len(vectors))].astype(np.float32)


def shards_of(vectors: np.ndarray, count: int) -> list[list[pa.RecordBatch]]:
    found = []
    for part in np.array_split(vectors, count):
        present = np.ones(len(part), bool)
        rows = pa.array(range(len(part)), pa.int64())
        found.append([pa.RecordBatch.from_pydict({"_row": rows, "embedding": vector_array(part, present)})])
    return found


def test_clusters_are_as_good_as_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.cluster")
    vectors, _ = unit_vectors(vector_array(planted(40, 12), np.ones(480, bool)), "test")
    found = spherical_kmeans([vectors[:100], vectors[100:]], vectors[:25], 20)
    assert all(b >= a - 1e-6 for a, b in zip(found.objective, found.objective[1:], strict=False))
    theirs = sklearn.KMeans(25, init=vectors[:25], n_init=1, algorithm="lloyd").fit(vectors)
    centers = theirs.cluster_centers_ / np.linalg.norm(theirs.cluster_centers_, axis=1, keepdims=True)
    assert found.objective[-1] == pytest.approx((vectors * centers[theirs.labels_]).sum(1).mean(), rel=0.01)
    again = spherical_kmeans([vectors[i : i + 7] for i in range(0, 480, 7)], vectors[:25], 20)
    assert again.objective == pytest.approx(found.objective, rel=1e-12)


def test_the_nearest_before_is_that_of_a_plain_product() -> None:
    vectors, _ = unit_vectors(vector_array(planted(5, 8), np.ones(40, bool)), "test")
    best, place = nearest_before(vectors)
    products = np.tril(vectors @ vectors.T, -1) + np.triu(np.full((40, 40), -2.0))
    np.testing.assert_allclose(best[1:], products.max(1)[1:], atol=1e-6)
    assert place[1:].tolist() == products.argmax(1)[1:].tolist()
    assert (best[0], place[0]) == (-1, -1)


@pytest.mark.parametrize(("count", "clusters", "size"), [(1, 1, 1), (63, 7, 5), (64, 8, 4), (130, 131, 9)])
def test_products_are_summed_dimension_after_dimension_and_the_first_of_equals_is_found(
    count: int, clusters: int, size: int
) -> None:
    draw = np.random.default_rng(count)
    for scale in (None, 0.1):  # small whole numbers: many products are equal
        vectors, centroids = (
            (draw.integers(-2, 3, (rows, size)) if scale is None else draw.normal(0, scale, (rows, size))).astype("f4")
            for rows in (count, clusters)
        )
        products = np.zeros((count, clusters), np.float32)
        for dimension in range(size):
            products += vectors[:, dimension, None] * centroids[None, :, dimension]
        place, best = nearest(vectors, centroids)
        assert place.tolist() == products.argmax(1).tolist()
        assert best.tobytes() == products.max(1, initial=-np.inf).tobytes()
        products = np.zeros((count, count), np.float32)
        for dimension in range(size):
            products += vectors[:, dimension, None] * vectors[None, :, dimension]
        before = np.where(np.tri(count, k=-1, dtype=bool), products, -np.inf)[1:]
        best, place = nearest_before(vectors)
        assert place[1:].tolist() == before.argmax(1).tolist()
        assert best[1:].tobytes() == before.max(1, initial=-np.inf).astype(np.float32).tobytes()


@pytest.mark.parametrize("keep", ["farthest", "nearest", "first"])
def test_one_of_each_planted_group_stays(keep: Keep) -> None:
    vectors = planted(20, 5)
    parted = decide(SemDedup(clusters=4, epsilon=0.2, keep=keep), shards_of(vectors, 3))
    assert 76 <= parted.drops.num_rows <= 80  # a group may be split between two clusters
    decision = decide(SemDedup(clusters=1, epsilon=0.2, keep=keep), shards_of(vectors, 3))
    assert decision.drops.num_rows == 80
    (table,) = decision.tables["clusters"]
    assert sum(table.column("documents").to_pylist()) == 100
    assert sum(table.column("dropped").to_pylist()) == 80
    if keep == "first":
        gone = {(r["shard"], r["row"]) for r in decision.drops.to_pylist()}
        order = [(s, r) for s, part in enumerate(np.array_split(vectors, 3)) for r in range(len(part))]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        products = unit @ unit.T
        assert all((p in gone) == bool((products[i, :i] > 0.8).any()) for i, p in enumerate(order))


def test_a_fraction_is_kept_to_the_document() -> None:
    for fraction, dropped in ((1.0, 0), (0.75, 25), (0.301, 69), (0.0, 100)):
        decision = decide(SemDedup(clusters=4, keep_fraction=fraction), shards_of(planted(20, 5), 3))
        assert decision.drops.num_rows == dropped
    assert decide(SemDedup(clusters=9, epsilon=0.1), shards_of(planted(2, 2), 2)).info["clusters"] == 4


def test_wrong_settings_and_columns_are_refused() -> None:
    for text in ("{clusters: 3}", "{clusters: 3, epsilon: 0.1, keep_fraction: 0.5}", "{epsilon: 0.1}"):
        with pytest.raises(ConfigError):
            build(SemDedup, parse_yaml(text))
    batch = pa.RecordBatch.from_pydict({"_row": pa.array([0], pa.int64()), "embedding": [1.0]})
    with pytest.raises(ConfigError, match="is double, allowed: vectors of one size"):
        SemDedup(clusters=2, epsilon=0.1).open(Context())(batch)
    with pytest.raises(ConfigError, match="no column other"):
        SemDedup(clusters=2, epsilon=0.1, column="other").open(Context())(batch)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(static_model: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    base = [" ".join(draw.choice(WORDS[1:], 30)) for _ in range(20)]
    texts = [f"{text} w{i}" for i in range(3) for text in base] + ["", "nothing known"]
    pool = write_pool(tmp_path / "pool", [[{"text": t} for t in texts[i::3]] for i in range(3)])
    steps = [Embed(model=str(static_model)), SemDedup(clusters=5, epsilon=0.1, keep="first")]
    record, table = run_twice(steps, pool, tmp_path)
    assert table.num_rows == 22
    decisions = record.counts["decisions"]
    assert isinstance(decisions, dict)
    assert json.loads(json.dumps(decisions["1:semdedup"]))["documents"] == 60


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("model", ["minilm-l6-v2", "tokenlearn-static"])
def test_models_in_wheels_find_the_paraphrase(model: str) -> None:
    texts = ["The cat sat on the mat.", "A cat was sitting on a rug.", "Interest rates rose by half a percent."]
    vectors, _ = unit_vectors(embed(Embed(model=model), texts), "test")
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
