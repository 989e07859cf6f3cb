"""Language: the kernel's label and probability are fastText's own, bit for bit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from edited import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.errors import AssetError
from dclm.curate.step import Context
from dclm.filters.language.fasttext import Language
from dclm.filters.language.kernel import Memo, predict
from dclm.filters.language.model import load_lid_model
from dclm.filters.language.subwords import remainder
from dclm.text.buffers import utf8

SYLLABLES = {
    "en": "the of and ing er",
    "de": "der und ein sch ung",
    "ru": "при ого ать не",
    "zh": "的 是 中 文",
    "fr": "é le à que",
}


def made_up_pages(count: int) -> list[str]:
    chance = random.Random(5)
    pages = []
    for _ in range(count):
        label, parts = chance.choice(sorted(SYLLABLES.items()))
        words = ("".join(chance.choices(parts.split(), k=chance.randint(1, 3))) for _ in range(12))
        pages.append(f"__label__{label} {' '.join(words)}")
    return pages


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models: `dense` and `quantized` as lid.176 is made, two with other n-grams, `softmax` of another kind."""
    folder = tmp_path_factory.mktemp("models")
    training = folder / "train.txt"
    training.write_text("\n".join(made_up_pages(1500)) + "\n", encoding="utf-8")
    shape = {"dim": 16, "minn": 2, "maxn": 4, "bucket": 5000, "minCount": 3, "thread": 1, "verbose": 0, "epoch": 3}
    paths = {}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("dense", {}), ("quantized", {}), ("softmax", {"loss": "softmax"}),
        ("letters", {"minn": 1, "maxn": 3, "dim": 5}), ("long", {"minn": 3, "maxn": 5, "bucket": 1}),
    ]  # fmt: skip
    for name, own in kinds:
        model = fasttext.train_supervised(str(training), **{"loss": "hs", **shape, **own})
        if name == "quantized":
            model.quantize(input=str(training), cutoff=2000, qnorm=True, retrain=False, thread=1, verbose=0)
        paths[name] = folder / f"{name}.bin"
        model.save_model(str(paths[name]))
    return paths


def expected(model: Any, texts: list[str]) -> tuple[list[str], list[float]]:
    labels, scores = model.predict(texts)
    return [label[0].removeprefix("__label__") for label in labels], [float(score[0]) for score in scores]


ODD = [
    "</s>", "__label__en", "__label__zz", "\0", "\t", "\r", "the", "derung", "приого", "не", "的是中", "é", "",
    *("derungen"[:n] + "приого" * 2 for n in range(6)), *("x" * n for n in (7, 8, 9, 15, 16, 17, 23, 24, 25)),
    "derungenderungen" + "ab", "derungenderungen" + "ac",
]  # fmt: skip
WORDS = st.sampled_from(ODD) | st.text(max_size=12)


@pytest.mark.parametrize("name", ["dense", "quantized", "letters", "long"])
def test_the_kernel_is_fasttext(models: dict[str, Path], name: str) -> None:
    library, ours = fasttext.load_model(str(models[name])), load_lid_model(models[name])
    assert ours is not None
    memo = Memo.empty()

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.lists(WORDS, max_size=8).map(" ".join), min_size=1, max_size=4))
    def check(texts: list[str]) -> None:
        texts = [text.replace("\n", "") for text in texts]
        labels, scores = predict(*utf8(pa.array(texts)), ours.arrays, memo)
        assert ([ours.labels[label] for label in labels], scores.tolist()) == expected(library, texts)

    check()
    pages = [
        "ab cd " * 3000 + "the",
        "x" * 30_000,
        "é" * 9000,
        " ".join(map(str, range(4000))),
        "的 " * 5000 + "</s> b",
    ]
    labels, scores = predict(*utf8(pa.array(pages)), ours.arrays, memo)
    assert ([ours.labels[label] for label in labels], scores.tolist()) == expected(library, pages)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2**26) | st.integers(1, 5))
def test_a_remainder_needs_no_division(value: int, divisor: int) -> None:
    near = [value, divisor * (value // divisor), max(0, divisor * (value // divisor) - 1), 2**32 - 1]
    inverse = np.uint64((1 << 32) // divisor)
    assert [remainder(np.uint32(n), np.uint32(divisor), inverse) for n in near] == [n % divisor for n in near]


@pytest.mark.shared
def test_lid_176_gives_the_same_floats_on_long_and_odd_pages(shared: Path) -> None:
    path = shared / "models" / "lid.176.ftz"
    library, ours = fasttext.load_model(str(path)), load_lid_model(path)
    assert ours is not None
    memo = Memo.empty()
    pages = [page.split(" ", 1)[1] for page in made_up_pages(300)]
    pages += [
        "",
        " ",
        "a" * 100_000,
        " ".join(pages),
        "</s> der",
        "der </s> the",
        "\0",
        "🖕",
        "é" * 5000,
        "__label__de x",
    ]
    labels, scores = predict(*utf8(pa.array(pages)), ours.arrays, memo)
    assert ([ours.labels[label] for label in labels], scores.tolist()) == expected(library, pages)


@pytest.mark.parametrize("name", ["dense", "softmax"])
def test_pages_are_annotated_and_dropped_strictly_below_the_score(models: dict[str, Path], name: str) -> None:
    texts = ["the theing\nofand er", "приого ать\nне", "., !", ""]
    context = Context(files={"m": str(models[name])})
    plain = Language(model="m").open(context)(batch_of(texts))
    assert plain.column("language").to_pylist()[2:] == [None, None]
    assert plain.column("language_score").to_pylist()[2:] == [0.0, 0.0]
    assert "_drop" not in plain.schema.names
    language, score = plain.column("language")[0].as_py(), plain.column("language_score")[0].as_py()
    glued = fasttext.load_model(str(models[name])).predict("the theingofand er")
    assert (f"__label__{language}", np.float32(score)) == (glued[0][0], np.float32(glued[1][0]))
    for least, dropped in ((score, True), (np.nextafter(score, 0), False)):
        kept = Language(model="m", keep=(language,), min_score=float(least)).open(context)(batch_of(texts))
        assert kept.column("_drop").to_pylist()[0] is dropped
        assert kept.column("_drop").to_pylist()[2:] == [True, True]
    assert Language(model="m").open(context)(batch_of([])).num_rows == 0


def test_lines_can_be_joined_with_spaces(models: dict[str, Path]) -> None:
    context = Context(files={"m": str(models["dense"])})
    one, two = (
        Language(model="m", join_lines_with=" ").open(context)(batch_of([text])).column("language_score")
        for text in ("the\nund", "the und")
    )
    assert one == two


@pytest.mark.parametrize("damage", [0, 6, 40, 200, 5000])
def test_a_file_that_is_cut_off_or_no_model_is_an_error(models: dict[str, Path], tmp_path: Path, damage: int) -> None:
    path = tmp_path / "cut.ftz"
    path.write_bytes(models["dense"].read_bytes()[:damage])
    with pytest.raises(AssetError):
        Language(model="m").open(Context(files={"m": str(path)}))
