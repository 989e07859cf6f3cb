"""Progress of a run whose ranks are elsewhere, from the files that they write."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dclm.train.follow import Follower, followed, last_line
from dclm.train.metrics import StepMetrics, open_metrics, speed_note
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


def test_a_finished_run_has_been_told_as_by_its_own_process(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    here, there = Told(), Told()
    options = TrainOptions(device="cpu", precision="fp32", threads=1)
    with followed(tmp_path / "run", small_scale, there):
        train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=options, progress=here)
    assert there.started == here.started == [("train small", 20, "steps")]
    assert (there.units, there.items, there.finished) == (here.units, here.items, here.finished) == (20, 2560, 1)
    assert there.notes[-1] == here.notes[-1]


def test_speeds_are_not_rounded_on_their_way_through_the_file(small_scale: Scale, tmp_path: Path) -> None:
    told = Told()
    speed, utilization = 8493.46, 0.40549  # rounded twice: 8,494 and 40.6 %
    with open_metrics(tmp_path, 0) as writer:
        writer.step(StepMetrics(step=1, loss=2.5, z_loss=0.0, lr=0.1, grad_norm=1.0, tokens=128))
        writer.timing(1, 0.25, speed, utilization)
    Follower(tmp_path, small_scale, told).look()
    assert told.notes == [speed_note(2.5, speed, utilization)] == ["loss 2.500 · 8,493 tokens/s · MFU 40.5%"]


def test_updates_are_told_once_and_again_only_when_the_run_is_further(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens, out, told = make_tokens(), tmp_path / "run", Told()
    follower = Follower(out, small_scale, told)
    follower.look()
    assert told.notes == []
    options = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=10, resume=True)
    train(tokens, out, scale=small_scale, seed=1, options=options)
    follower.look()
    follower.look()
    assert (told.units, len(told.notes)) == (20, 1)
    for name in ("metrics.jsonl", "timings.jsonl"):  # a rank has returned to a checkpoint
        lines = (out / name).read_bytes().splitlines(keepends=True)
        (out / name).write_bytes(b"".join(lines[:12]))
    follower.look()
    shutil.rmtree(out)
    train(tokens, out, scale=small_scale, seed=1, options=dataclasses.replace(options, resume=False))
    follower.look()
    assert (told.units, len(told.notes)) == (20, 1)


def test_a_line_that_is_still_being_written_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_line(path) is None
    path.write_bytes(b'{"step": 1')
    assert last_line(path) is None
    path.write_bytes(b'{"step": 1}\n{"st')
    assert last_line(path) == {"step": 1}
    path.write_bytes(b"".join(b'{"step": %d}\n' % step for step in range(2000)))
    assert last_line(path) == {"step": 1999}
