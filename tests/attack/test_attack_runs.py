"""Foreign files in a run's directory: reported in three lines and left unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_models import assert_refused

from dclm.core.errors import DataError
from dclm.train.output.metrics import METRICS, open_metrics


@pytest.mark.parametrize(
    "line", ["loss,step\n", "[]\n", "{}\n", '{"step": "one"}\n', "\n", "\0\n", "[" * 100_000 + "\n"]
)
def test_a_foreign_metrics_file_is_refused_and_left(line: str, tmp_path: Path) -> None:
    path = tmp_path / METRICS
    path.write_text(line)
    with pytest.raises(DataError, match="lines written by dclm") as caught, open_metrics(tmp_path, 0):
        pass
    assert_refused(caught.value, tmp_path / "marker")
    assert path.read_text() == line
