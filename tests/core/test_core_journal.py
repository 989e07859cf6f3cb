"""The journal of finished units: entries are read back, and a second driver is fenced off."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.core.errors import IncompleteError
from dclm.core.stages import journal
from dclm.core.stages.journal import Journal
from dclm.core.stores.store import open_store


def opened(folder: Path) -> tuple[Journal, dict[str, object]]:
    made = Journal(open_store(str(folder)), "journal")
    return made, dict(made.read())


def test_what_is_flushed_is_read_back_and_what_is_not_is_lost(tmp_path: Path) -> None:
    first, found = opened(tmp_path)
    assert found == {}
    first.add("a", {"rows": 1})  # the first addition is written at once
    first.add("b", {"rows": 2})
    assert opened(tmp_path)[1] == {"a": {"rows": 1}}
    first.flush()
    first.add("a", {"rows": 3})
    first.flush()
    assert opened(tmp_path)[1] == {"a": {"rows": 3}, "b": {"rows": 2}}


def test_a_second_driver_stops_the_first_at_its_next_entry(tmp_path: Path) -> None:
    first, _ = opened(tmp_path)
    second, _ = opened(tmp_path)
    second.add("x", {})
    with pytest.raises(IncompleteError, match="another run"):
        first.add("y", {})
    assert set(opened(tmp_path)[1]) == {"x"}


def test_many_entries_are_merged_into_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FLUSH_SECONDS", -1.0)
    monkeypatch.setattr(journal, "MERGE_ENTRIES", 10)
    writer, _ = opened(tmp_path)
    for number in range(25):
        writer.add(f"unit {number % 20}", {"rows": number})
    expected = {f"unit {n % 20}": {"rows": n} for n in range(25)}
    assert len(list((tmp_path / "journal").glob("*.jsonl"))) == 25
    assert opened(tmp_path)[1] == expected
    assert len(list((tmp_path / "journal").glob("*.jsonl"))) == 1
    again, found = opened(tmp_path)
    assert found == expected
    again.add("new", {})
    assert opened(tmp_path)[1] == {**expected, "new": {}}


@pytest.mark.parametrize("damage", [b"", b"\n", b"{}\n[]\n", b"\xff\x00", "half", "flip"])
def test_an_entry_that_is_not_what_was_written_counts_for_nothing(damage: bytes | str, tmp_path: Path) -> None:
    first, _ = opened(tmp_path)
    for number in range(3):
        first.add(f"unit {number}", {"rows": 100 + number})
        first.flush()
    path = tmp_path / "journal" / "000001.jsonl"
    content = path.read_bytes()
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        path.write_bytes(content[: len(content) - 5] if damage == "half" else content.replace(b"101", b"102"))
    second, found = opened(tmp_path)
    assert found == {"unit 0": {"rows": 100}, "unit 2": {"rows": 102}}
    second.add("unit 1", {"rows": 101})
    second.flush()
    assert opened(tmp_path)[1] == {f"unit {n}": {"rows": 100 + n} for n in range(3)}


@pytest.mark.parametrize("head", [b"", b"x", b"7", b"-1"])
def test_a_damaged_head_is_found_again(head: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FLUSH_SECONDS", -1.0)
    monkeypatch.setattr(journal, "MERGE_ENTRIES", 2)
    writer, _ = opened(tmp_path)
    for number in range(5):
        writer.add(f"unit {number}", {})
    assert len(opened(tmp_path)[1]) == 5
    (tmp_path / "journal" / "HEAD").write_bytes(head)
    again, found = opened(tmp_path)
    assert len(found) == 5
    again.add("one more", {})
    assert len(opened(tmp_path)[1]) == 6
