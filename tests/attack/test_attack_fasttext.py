"""fastText models that are truncated or forged: refused in one line, without a crash or exhausted memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_models import assert_refused, classifier, mutations, run_limited

from dclm.core.errors import AssetError
from dclm.filters.fasttext_file import require_fasttext
from dclm.filters.language.model import load_lid_model
from dclm.select.fasttext_score import load_classifier, score_texts

LOAD_ALL = """
import sys
from pathlib import Path
from dclm.core.errors import AssetError, ConfigError
from dclm.filters.language.model import load_lid_model
from dclm.select.fasttext_score import load_classifier, score_texts
refused = 0
for path in sorted(Path(sys.argv[1]).glob("*.forged")):
    for load in (lambda p: score_texts(load_classifier(p, "__label__hq"), ["w1 w2 other", ""], "__label__hq"),
                 lambda p: load_lid_model(Path(p))):
        try:
            load(str(path))
        except (AssetError, ConfigError):
            refused += 1
print(refused)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [classifier(folder), classifier(folder, loss="hs"), classifier(folder, quantized=True)]


def test_whole_models_pass(models: list[Path]) -> None:
    for path in models:
        require_fasttext(path)
        assert len(score_texts(load_classifier(str(path), "__label__hq"), ["w1 w2"], "__label__hq")) == 1


@pytest.mark.shared
def test_lid_176_passes(shared: Path) -> None:
    require_fasttext(shared / "models" / "lid.176.ftz")


def test_a_model_cut_off_anywhere_is_refused(models: list[Path], tmp_path: Path) -> None:
    for model in models:
        data = model.read_bytes()
        for length in [0, 1, 7, 8, 60, 64, 100, *range(200, len(data), 997), len(data) - 1]:
            path = tmp_path / "cut.bin"
            path.write_bytes(data[:length])
            for load in (lambda p: load_classifier(str(p), "__label__hq"), load_lid_model):
                with pytest.raises(AssetError, match="truncated") as caught:
                    load(path)
                assert_refused(caught.value, tmp_path / "marker")


def test_forged_models_never_take_the_process_along(models: list[Path], tmp_path: Path) -> None:
    """300 files with flipped bits and false numbers, in a process with 4 GiB."""
    for number, model in enumerate(models):
        for index, data in enumerate(mutations(model.read_bytes(), number, 100)):
            (tmp_path / f"{number}-{index:03d}.forged").write_bytes(data)
    done = run_limited(LOAD_ALL, str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 250
