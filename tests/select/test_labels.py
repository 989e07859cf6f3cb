"""The step `labels`: which documents it keeps, and the rules that the ledger names."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.step import Context
from dclm.select.labels import Labels

BATCH = pa.RecordBatch.from_pydict(
    {
        "url": pa.array(["http://www.a.org/", "http://b.org/", None, "http://a.org/x"]),
        "topic": pa.array(["law", "news", None, "law"]),
        "format": pa.array(["List: Page", "Forum", "Forum", "List: Page"]),
        "level": pa.array([1, 2, 2, None], pa.int64()),
    }
)


@pytest.mark.parametrize(
    ("step", "kept", "rules"),
    [
        (Labels(columns="topic", keep=("law",)), [1, 0, 0, 1], [None, "label", "no_label", None]),
        (Labels(columns="topic", drop=("law",)), [0, 1, 0, 0], ["label", None, "no_label", "label"]),
        (Labels(columns="topic", drop=("law",), keep_unlabeled=True), [0, 1, 1, 0], ["label", None, None, "label"]),
        (Labels(columns="level", keep=("2",)), [0, 1, 1, 0], ["label", None, None, "no_label"]),
        (Labels(columns="domain", keep=("www.a.org",)), [1, 0, 0, 1], [None, "label", "no_label", None]),
        (
            Labels(columns=("domain", "format"), keep=("WWW.a.org | List: Page",)),
            [1, 0, 0, 1],
            [None, "label", "no_label", None],
        ),
        (
            Labels(columns=("format", "domain"), drop=("Forum | b.org",)),
            [1, 0, 0, 1],
            [None, "label", "no_label", None],
        ),
        (
            Labels(columns=("topic", "level"), keep=("law | 1",), keep_unlabeled=True),
            [1, 0, 1, 1],
            [None, "label", None, None],
        ),
    ],
)
def test_documents_are_kept_by_label(step: Labels, kept: list[int], rules: list[str | None]) -> None:
    assert step.open(Context())(BATCH).to_pylist() == [bool(k) for k in kept]
    rule_of = step.open_rules(Context())
    assert rule_of is not None
    assert rule_of(BATCH).to_pylist() == rules


def test_what_cannot_be_a_label_is_refused() -> None:
    for text in ("columns: topic", "columns: topic\nkeep: [a]\ndrop: [b]", "columns: []\nkeep: [a]"):
        with pytest.raises(ConfigError):
            build(Labels, parse_yaml(text))
    with pytest.raises(ConfigError, match="no column subject"):
        Labels(columns="subject", keep=("a",)).open(Context())(BATCH)
