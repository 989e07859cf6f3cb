"""Pictures and tables about models and extractors."""

from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import fasttext
import numpy as np
import pytest
from click.testing import CliRunner

from dclm.cli.bench import print_qualities
from dclm.cli.documents.score import score
from dclm.core.errors import DataError
from dclm.extract.extractors import NAMES
from dclm.extract.quality import GoldPage
from dclm.report.extraction import UNION, compare_extractors, generated_pages, marked_pages, thinned
from dclm.report.pictures.curve import draw_curves
from dclm.select.classifier.metrics import precision_recall, summarize

SVG = "{http://www.w3.org/2000/svg}"


def points(picture: str) -> list[list[tuple[float, float]]]:
    """Points of each curve."""
    root = ElementTree.fromstring(picture)
    lines = [e for e in root.iter(f"{SVG}polyline") if e.get("class") == "curve"]
    return [[tuple(map(float, p.split(","))) for p in str(e.get("points")).split()] for e in lines]  # type: ignore[misc]


def test_the_picture_shows_the_numbers() -> None:
    scores, good = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])
    picture = draw_curves(summarize(scores, good), precision_recall(scores, good), "<model> & \ud800")
    recall, roc = points(picture.replace("\ud800", ""))
    assert "average precision 0.8333" in picture
    assert "&lt;model&gt; &amp; ⟨U+D800⟩: 2 good of 4 documents" in picture
    left, right, top, bottom = recall[0][0], recall[-1][0], min(y for _, y in recall), roc[0][1]
    assert recall[0][1] == top  # precision 1 at the start
    assert recall[-1] == (right, (top + bottom) / 2)  # all good found among twice as many
    assert roc[-1] == (roc[0][0] + right - left, top)
    across = [round((x - roc[0][0]) / (right - left), 3) for x, _ in roc]
    up = [round((bottom - y) / (bottom - top), 3) for _, y in roc]
    assert list(zip(across, up, strict=True)) == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]


def test_labels_of_several_files_are_judged_together(tmp_path: Path) -> None:
    lines = ["__label__hq good clear words", "__label__cc buy cheap pills now"] * 20
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    model = fasttext.train_supervised(str(tmp_path / "train.txt"), dim=4, epoch=20, bucket=10, thread=1, verbose=0)
    model.save_model(str(tmp_path / "model.bin"))
    for name, rows in (("a", [("good words", 1)]), ("b", [("cheap pills", 0), ("buy pills", 0)])):
        (tmp_path / name).write_text("".join(json.dumps({"text": t, "label": n}) + "\n" for t, n in rows))
    picture = tmp_path / "pr.svg"
    files = [str(tmp_path / n) for n in ("model.bin", "a", "b")]
    result = CliRunner().invoke(score, [*files, "--picture", str(picture)], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["documents"] == 3
    assert json.loads(result.stdout)["roc_auc"] == 1.0
    assert len(points(picture.read_text())) == 2
    with pytest.raises(DataError, match="2 documents of one class"):
        CliRunner().invoke(score, [files[0], files[2]], catch_exceptions=False)


@pytest.fixture(scope="module")
def pages() -> list[GoldPage]:
    return generated_pages(40)


def test_generated_pages_have_text_that_is_in_their_html(pages: list[GoldPage]) -> None:
    assert len(pages) > 10
    for page in pages:
        assert all(word in page.html for word in page.text.split()[:3] if word.isalpha())


def test_extractors_stand_side_by_side(pages: list[GoldPage], capsys: pytest.CaptureFixture[str]) -> None:
    some = thinned(pages, 6)
    rows = {q.extractor: q for q in compare_extractors(some)}
    assert list(rows) == [*NAMES, UNION]
    assert all(q.pages == len(some) and q.present_fraction is None for q in rows.values())
    assert rows[UNION].recall >= rows["resiliparse"].recall > 0.5
    print_qualities(list(rows.values()))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(rows)
    assert len({len(line) for line in lines[1:]}) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"plain", "not gzip JSONL"),
        (gzip.compress(b'{"url": "u"}\n', mtime=0), "allowed: an object with `url`, `warc` and `text`"),
        (gzip.compress(b'{"url": "u", "warc": "w.warc.gz", "text": "t"}\n', mtime=0), "matches no file"),
    ],
)
def test_a_file_of_marked_pages_that_is_none_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "gold.jsonl.gz").write_bytes(data)
    with pytest.raises(DataError, match=message):
        marked_pages(tmp_path / "gold.jsonl.gz")


@pytest.mark.shared
def test_marked_pages_are_found_beside_their_marks(shared: Path) -> None:
    pages = marked_pages(shared / "web" / "gold.jsonl.gz")
    assert len(pages) > 100
    assert all(page.html and page.text for page in pages)
    assert any(page.absent for page in pages)
