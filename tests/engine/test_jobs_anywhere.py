"""Jobs: a recipe is uploaded from anywhere, jobs are listed and read, and a dead address is reported within seconds."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dclm.cli.main import main
from dclm.core.errors import DataError
from dclm.curate.pipeline import pipeline_files
from dclm.engine import jobs
from dclm.engine import ray as ray_engine
from dclm.engine.shipping import FOLDER, staged


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe outside the project, with a pipeline that includes another and has its own step."""
    for name in ("recipes", "pipelines"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    (tmp_path / "mine" / "pipelines" / "p.yaml").write_text("name: p\nsteps:\n  - include: q.yaml\n  - rules:keep\n")
    (tmp_path / "mine" / "pipelines" / "q.yaml").write_text("name: q\nsteps:\n  - citations\n")
    (tmp_path / "mine" / "pipelines" / "rules.py").write_text("import help_\ndef keep(text):\n    return True\n")
    (tmp_path / "mine" / "pipelines" / "help_.py").write_text("")
    path = tmp_path / "mine" / "recipes" / "r.yaml"
    path.write_text(
        "name: r\ntrust: true\ndata:\n  - {pool: 's3://b/p', pipeline: ../pipelines/p.yaml}\nscale: tiny\nsuite: core\n"
    )
    return path


class Client:
    """A cluster that records its calls."""

    given: dict[str, Any]
    names: list[str]
    ended: Any = SimpleNamespace(submission_id=None, status="SUCCEEDED", start_time=1, end_time=2, entrypoint="other")

    def __init__(self, address: str) -> None:
        assert address == "http://h:1"

    def submit_job(self, **given: Any) -> str:
        type(self).given = given
        folder = Path(given["runtime_env"]["working_dir"])
        type(self).names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        return "raysubmit_x"

    def list_jobs(self) -> list[Any]:
        one = SimpleNamespace(
            submission_id="a", status="RUNNING", start_time=1_700_000_000_000, end_time=None, entrypoint="run [b]x"
        )
        two = SimpleNamespace(submission_id="b", status="FAILED", start_time=5000, end_time=6000, entrypoint="y")
        return [two, self.ended, one]

    def get_job_logs(self, job: str) -> str:
        if job != "a":
            raise RuntimeError(f"job {job} does not exist\nmore")
        return "line one\n\x1b[31mred\n"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    monkeypatch.setattr(jobs, "JobSubmissionClient", Client)
    return Client


def test_a_pipeline_knows_the_files_that_it_needs(recipe: Path) -> None:
    names = [path.name for path in pipeline_files(recipe.parent / "../pipelines/p.yaml")]
    assert sorted(names) == ["help_.py", "p.yaml", "q.yaml", "rules.py"]


def test_a_recipe_from_anywhere_travels_with_what_it_names(recipe: Path, client: type[Client]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["submit", str(recipe), "--address", "http://h:1", "--out", "s3://b/out", "--no-follow"])
    assert caught.value.code == 0
    assert f"run {FOLDER}/recipes/r.yaml --out s3://b/out" in client.given["entrypoint"]
    inside = [name for name in client.names if name.startswith(FOLDER)]
    assert inside == [f"{FOLDER}/pipelines/{name}" for name in ("help_.py", "p.yaml", "q.yaml", "rules.py")] + [
        f"{FOLDER}/recipes/r.yaml"
    ]
    assert "dclm/cli/main.py" in client.names
    assert "eval_suite/suites/core.yaml" in client.names
    assert not [name for name in client.names if name.startswith((".git/", "tests/", ".venv"))]
    assert not Path(client.given["runtime_env"]["working_dir"]).exists()


def test_a_wrong_recipe_is_told_before_it_is_submitted(
    recipe: Path, client: type[Client], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(recipe.read_text().replace("suite", "siute"))
    with pytest.raises(SystemExit) as caught:
        main(["submit", str(recipe), "--address", "http://h:1"])
    assert caught.value.code == 2
    assert "did you mean `suite`?" in capsys.readouterr().err


def test_the_copy_leads_where_the_original_led(recipe: Path) -> None:
    with staged(jobs.project_root(), recipe, pipeline_files(recipe.parent / "../pipelines/p.yaml")) as (stage, name):
        assert (stage / name).parent.joinpath("../pipelines/p.yaml").resolve().is_file()


def test_jobs_are_listed_the_newest_first(client: type[Client], capsys: pytest.CaptureFixture[str]) -> None:
    main(["jobs", "list", "--address", "http://h:1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [(job["id"], job["status"], job["started"], job["ended"]) for job in found] == [
        ("a", "running", "2023-11-14T22:13:20+00:00", None),
        ("b", "failed", "1970-01-01T00:00:05+00:00", "1970-01-01T00:00:06+00:00"),
    ]
    main(["jobs", "list", "--address", "http://h:1"])
    assert "[b]x" in capsys.readouterr().out


def test_the_output_of_a_job_is_shown_and_does_not_steer_the_terminal(
    client: type[Client], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["jobs", "logs", "a", "--address", "http://h:1"])
    assert capsys.readouterr().out == "line one\n␛[31mred\n"
    with pytest.raises(SystemExit) as caught:
        main(["jobs", "logs", "c", "--address", "http://h:1"])
    assert caught.value.code == 2
    assert "job c does not exist" in capsys.readouterr().err


def test_a_dead_address_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        for target in (address, f"ray://{address}"):
            with pytest.raises(DataError, match="nothing answers there"):
                ray_engine._connect(target, None)
        assert time.monotonic() - started < 2 * ray_engine.CONNECT_SECONDS + 1


def test_addresses_without_a_port_are_left_to_ray() -> None:
    for target in (None, "local", "auto"):
        ray_engine._require_answer(target)
