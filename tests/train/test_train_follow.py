"""Progress of a run whose ranks are elsewhere, as they report it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dclm.train.distributed.follow import Follower, followed
from dclm.train.distributed.messages import Messages, ReportedProgress
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens


class Told:
    """Records its calls."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int | None, str]] = []
        self.units = self.items = self.finished = 0
        self.notes: list[str] = []

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        self.started.append((label, total, unit))

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        self.units += units
        self.items += items
        self.notes.append(note)

    def finish(self) -> None:
        self.finished += 1


class Both(ReportedProgress):
    """A rank's progress, which is also recorded here."""

    def __init__(self, messages: Messages, here: Told) -> None:
        super().__init__(messages)
        self._here = here

    def start(self, label: str, total: int | None, unit: str = "shards") -> None:
        super().start(label, total, unit)
        self._here.start(label, total, unit)

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        super().advance(units, items, note)
        self._here.advance(units, items, note)

    def finish(self) -> None:
        super().finish()
        self._here.finish()


def test_a_finished_run_has_been_told_as_by_its_own_process(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    here, there, messages = Told(), Told(), Messages()
    options = TrainOptions(device="cpu", precision="fp32", threads=1)
    with followed(messages, small_scale, there):
        rank = Both(messages, here)
        train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=options, progress=rank)
    assert there.started == here.started == [("train small", 20, "steps")]
    assert (there.units, there.items, there.finished) == (20, 2560, 1)
    assert (here.units, here.items, here.finished) == (20, 2560, 1)
    assert there.notes[-1] == here.notes[-1]
    assert there.notes[-1].startswith("loss ")


def test_updates_are_told_once_and_again_only_when_the_run_is_further(small_scale: Scale) -> None:
    told, messages = Told(), Messages()
    follower = Follower(messages, small_scale, told)
    follower.look()
    assert told.notes == []
    for step, note in ((12, "a"), (12, "a"), (10, "back at a checkpoint"), (11, "again"), (13, "b")):
        messages.tell("reached", (step, note))
        follower.look()
    assert (told.units, told.items, told.notes) == (13, 13 * 128, ["a", "b"])


def test_a_rank_that_continues_reports_all_updates_of_the_run() -> None:
    messages = Messages()
    rank = ReportedProgress(messages)
    rank.start("train small", 20, "steps")
    rank.advance(10)  # of an earlier process
    rank.advance(1, 128, "loss 2.5")
    rank.advance(1, 128, "loss 2.4")
    rank.finish()
    assert messages.last("reached") == (12, "loss 2.4")
    assert messages.last("stop") is None
