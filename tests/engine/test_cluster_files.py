"""The cluster definitions are valid for their tools, and every stage fits on one of their nodes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
STAGES: dict[str, dict[str, float]] = yaml.safe_load((CLUSTER / "resources.yaml").read_text())["stages"]


class Node(NamedTuple):
    cpus: float
    memory_gb: float
    gpus: float


def fits(need: dict[str, float], node: Node) -> bool:
    return need["cpus"] <= node.cpus and need["memory_gb"] <= node.memory_gb and need["gpus"] <= node.gpus


def kuberay() -> list[Any]:
    return list(yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text()))


def aws() -> Any:
    return yaml.safe_load((CLUSTER / "aws.yaml").read_text())


def pods() -> list[Any]:
    spec = kuberay()[0]["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def aws_nodes() -> list[Node]:
    found = [kind["resources"] for kind in aws()["available_node_types"].values()]
    return [Node(r["CPU"], r.get("memory", 0) / 2**30, r.get("GPU", 0)) for r in found]


def kuberay_nodes() -> list[Node]:
    limits = [pod["containers"][0]["resources"]["limits"] for pod in pods()[1:]]
    return [
        Node(float(r["cpu"]), float(r["memory"].removesuffix("Gi")), float(r.get("nvidia.com/gpu", 0))) for r in limits
    ]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("nodes", [aws_nodes, kuberay_nodes])
def test_every_stage_fits_on_a_node(stage: str, nodes: Any) -> None:
    assert any(fits(STAGES[stage], node) for node in nodes())


def test_stages_without_gpus_have_nodes_without_gpus() -> None:
    for nodes in (aws_nodes(), kuberay_nodes()):
        for need in STAGES.values():
            if not need["gpus"]:
                assert any(fits(need, node) and not node.gpus for node in nodes)


def test_the_aws_definition_meets_rays_own_schema_and_checks() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    schema = json.loads(
        Path(str(metadata.distribution("ray").locate_file("ray/autoscaler/ray-schema.json"))).read_text()
    )
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(aws())
    validate_config(prepare_config(aws()))
    assert aws()["head_node_type"] in aws()["available_node_types"]


@pytest.mark.parametrize("spoil", ["provider", "cluster_name"])
def test_rays_schema_would_notice_a_missing_part(spoil: str) -> None:
    schema = json.loads(
        Path(str(metadata.distribution("ray").locate_file("ray/autoscaler/ray-schema.json"))).read_text()
    )
    broken = {key: value for key, value in aws().items() if key != spoil}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(broken)


def test_the_commands_for_aws_are_shell() -> None:
    commands = aws()["setup_commands"] + aws()["head_start_ray_commands"] + aws()["worker_start_ray_commands"]
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_the_kubernetes_objects_meet_their_schema() -> None:
    schema = json.loads((Path(__file__).parent / "kuberay.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for document in kuberay():
        validator.validate(document)
    cluster, job = kuberay()
    assert job["spec"]["clusterSelector"]["ray.io/cluster"] == cluster["metadata"]["name"]
    assert yaml.safe_load(job["spec"]["runtimeEnvYAML"])["working_dir"]


def test_every_mount_has_a_volume_and_all_pods_share_one() -> None:
    for pod in pods():
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert set(mounts) <= volumes
        assert mounts["shared"] == "/shared"


def test_the_job_runs_a_recipe_that_is_there_with_the_projects_command() -> None:
    words = shlex.split(kuberay()[1]["spec"]["entrypoint"])
    assert words[:4] == ["python", "-m", "dclm.cli.main", "run"]
    assert (ROOT / words[4]).is_file()
    assert words[words.index("--out") + 1].startswith("/shared/")


def test_the_image_copies_files_that_are_there() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    sources = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert "pyproject.toml" in sources
    assert [name for name in sources if name.islower() and not (ROOT / name).exists()] == []


class Dry(NamedTuple):
    done: subprocess.CompletedProcess[str]
    calls: list[str]


def dry_run(
    tmp_path: Path, arguments: list[str], head_comes_up: bool = True, time_limit: bool = False, restarts: int = 0
) -> Dry:
    """slurm.sbatch with programs on PATH that only record how they were called."""
    log = tmp_path / "calls"
    log.touch()
    run = f'while [ "$(grep -c ^srun {log})" -lt 3 ]; do :; done; echo "python $*" >> {log}'
    if time_limit:  # Slurm signals the script, which is the parent of the program that runs the recipe
        run += "; trap 'exit 143' TERM; kill -TERM $PPID; while :; do :; done"
    programs = {
        "scontrol": f"echo \"scontrol $*\" >> {log}; printf 'node1\\nnode2\\nnode3\\n'",
        "srun": f'echo "srun $* auth=$RAY_AUTH_MODE token=${{#RAY_AUTH_TOKEN}}" >> {log}; exec tail -f /dev/null',
        "ray": f'echo "ray $*" >> {log}; exit {0 if head_comes_up else 1}',
        "python": f"{run}; exit 7" if not time_limit else run,
        "sleep": "exit 0",
    }
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "node[1-3]", "SLURM_JOB_ID": "123",
        "SLURM_CPUS_ON_NODE": "16", "SLURM_RESTART_COUNT": str(restarts),
    }  # fmt: skip
    command = ["bash", str(CLUSTER / "slurm.sbatch"), *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return Dry(done, log.read_text().splitlines())


def test_the_slurm_script_is_shell() -> None:
    subprocess.run(["bash", "-n", str(CLUSTER / "slurm.sbatch")], check=True)


def test_the_slurm_script_starts_one_head_and_workers_and_gives_back_the_exit_code(tmp_path: Path) -> None:
    done, calls = dry_run(tmp_path, ["recipes/x.yaml", "/shared/out", "--limit", "5"])
    assert done.returncode == 7, done.stderr
    starts = [call for call in calls if call.startswith("srun")]
    assert len(starts) == 3
    (head,) = [call for call in starts if "ray start --head" in call]
    assert "--nodelist=node1" in head
    assert "--port=20123" in head
    assert all("auth=token token=64" in call for call in starts)
    workers = sorted(call for call in starts if call != head)
    assert [("--nodelist=node2" in workers[0]), ("--nodelist=node3" in workers[1])] == [True, True]
    assert all("ray start --address=node1:20123 --num-cpus=16 --block" in call for call in workers)
    assert calls[-1] == "python -m dclm.cli.main run recipes/x.yaml --out /shared/out --on ray:node1:20123 --limit 5"


def test_the_slurm_script_passes_the_signal_on_and_queues_again(tmp_path: Path) -> None:
    script = (CLUSTER / "slurm.sbatch").read_text()
    assert "#SBATCH --signal=B:TERM@300" in script
    assert "#SBATCH --requeue" in script
    done, calls = dry_run(tmp_path, ["recipes/x.yaml", "/shared/out"], time_limit=True)
    assert done.returncode == 143, done.stderr
    assert calls[-1] == "scontrol requeue 123"
    (tmp_path / "again").mkdir()
    done, calls = dry_run(tmp_path / "again", ["recipes/x.yaml", "/shared/out"], time_limit=True, restarts=100)
    assert done.returncode == 143
    assert "not requeued" in done.stderr
    assert not any("requeue" in call for call in calls)


def test_the_slurm_script_gives_up_when_the_head_does_not_come_up(tmp_path: Path) -> None:
    done, calls = dry_run(tmp_path, ["recipes/x.yaml", "/shared/out"], head_comes_up=False)
    assert done.returncode == 1
    assert "did not start" in done.stderr
    assert not any(call.startswith("python") for call in calls)


def test_the_slurm_script_says_how_it_is_used(tmp_path: Path) -> None:
    done, calls = dry_run(tmp_path, ["recipes/x.yaml"])
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert calls == []
