"""Several uploads to one board at once, directory and database: every result is stored exactly once and complete."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from dclm.board.fetch import fetch_results
from dclm.board.result import read_result, write_result
from dclm.board.serving.store import ResultStore
from dclm.board.upload import upload

if TYPE_CHECKING:
    from conftest import MakeResult


def send(path: str, board: str) -> None:
    upload(path, board)


def keep(path: str, database: str) -> None:
    ResultStore(Path(database)).add(read_result(path))


def test_uploads_at_once_are_all_there_once(make: MakeResult, tmp_path: Path) -> None:
    files = []
    for number in range(4):
        files.append(str(tmp_path / f"{number}.json"))
        write_result(files[-1], make(name=f"model {number}"))
    names = sorted(f"model {number}" for number in range(4))
    board, database = tmp_path / "board", tmp_path / "board.sqlite"
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        list(pool.map(send, files * 3, [str(board)] * 12))
        list(pool.map(keep, files * 3, [str(database)] * 12))
    assert sorted(result.name for result in fetch_results(str(board))) == names
    assert sorted(path.suffix for path in board.iterdir()) == [".json"] * 4
    assert sorted(result.name for result in ResultStore(database).all()) == names
