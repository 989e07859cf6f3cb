"""`dclm docs`: reference pages generated from the code, so that they cannot drift from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click

from dclm.cli.reference.files import COMMENT, file_lines, schemas, step_lines
from dclm.cli.reference.python import python_lines
from dclm.cli.shared.answers import answers
from dclm.cli.shared.options import LOCAL_PATH, put_result

HEADER = f"<!-- {COMMENT} -->\n\n"


@click.command()
@click.argument("directory", type=LOCAL_PATH)
def docs(directory: Path) -> None:
    """Write the reference pages (steps, files, Python, scales, tasks, assets, commands) into DIRECTORY."""
    from dclm.core.stages.ownership import claim_file
    from dclm.core.storage import write_atomic

    found = pages()
    for name, text in found.items():
        hint = "it is not a generated page: choose another directory, or move the file away"
        claim_file(directory / name, ours=lambda content: COMMENT.encode() in content[:200], hint=hint)
        write_atomic(directory / name, text.encode())
    put_result({"pages": [directory / name for name in found]}, None)


def pages() -> dict[str, str]:
    """Text of every generated page, by file name."""
    return {
        "steps.md": HEADER + "# Steps\n\n" + "\n".join(step_lines()),
        "scales.md": HEADER + "# Scales\n\n" + "\n".join(_scales()),
        "tasks.md": HEADER + "# Tasks\n\n" + "\n".join(_tasks()),
        "assets.md": HEADER + "# Assets\n\n" + "\n".join(_assets()),
        "python.md": HEADER + "# Python\n\n" + "\n".join(python_lines()),
        "files.md": HEADER + "# Files\n\n" + "\n".join(file_lines()),
        **{f"schemas/{name}": text for name, text in schemas().items()},
        "cli.md": HEADER + "# Command line\n\n" + "\n".join(_commands()),
    }


def _scales() -> Iterator[str]:
    from dclm.train.scale import SCALES

    columns = (
        "scale", "parameters", "width × layers × heads", "context", "tokens", "updates", "batch (sequences)",
        "learning rate → final", "warm-up", "weight decay", "z-loss",
    )  # fmt: skip
    yield "| " + " | ".join(columns) + " |\n|" + "---|" * len(columns)
    for scale in SCALES.values():
        model = scale.model
        cells = (
            f"`{scale.name}`",
            f"{model.published_parameters:,}",
            f"{model.hidden_dim} × {model.num_layers} × {model.num_heads}",
            model.seq_len,
            f"{scale.tokens:,}",
            f"{scale.num_steps:,}",
            f"{scale.batch_sequences:,}",
            f"{scale.learning_rate:g} → {scale.final_learning_rate:g}",
            f"{scale.warmup_steps:,}",
            scale.weight_decay,
            scale.z_loss,
        )
        yield "| " + " | ".join(str(c) for c in cells) + " |"


def _tasks() -> Iterator[str]:
    from dclm.eval.suite import load_suite, suite_names
    from dclm.eval.task import load_tasks

    for name in suite_names():
        suite = load_suite(name)
        identity = f"version {suite.version}, {len(suite.tasks)} tasks, `{suite.hash[:12]}`"
        yield f"- suite `{name}` ({identity}): {suite.about}"
    core = {task.task for task in load_suite("core").tasks}
    columns = ("task", "kind", "shots", "items", "group", "CORE", "baseline v2", "baseline v1", "license")
    yield "\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns)
    for task in load_tasks():
        details = task.metadata
        cells = (
            f"`{task.task}`",
            details.kind,
            task.num_fewshot,
            f"{details.data.rows:,}",
            details.group,
            "yes" if task.task in core else "",
            details.baseline.v2,
            details.baseline.v1,
            details.licence,
        )
        yield "| " + " | ".join(str(c) for c in cells) + " |"


def _assets() -> Iterator[str]:
    from dclm.assets import list_assets

    yield "| asset | description | license | sha256 |\n|---|---|---|---|"
    for asset in list_assets():
        sha256 = f"`{asset.sha256[:12]}…`" if asset.sha256 else "not pinned"
        yield f"| `{asset.name}` | {_cell(asset.description)} | {asset.licence} | {sha256} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


COMMON = """Every command takes `-v`, `-q` and `--json`. Results go to stdout and everything else to stderr; with
`--json`, stdout gets exactly one JSON document, whose fields are listed below each command: numbers in full precision,
null for unknown ones. A name in *italics* stands for any number of fields. Exit codes: 2 configuration, 3 data, 4
incomplete, 1 a bug.

For completion with the tab key, add `eval "$(_DCLM_COMPLETE=bash_source dclm)"` to `~/.bashrc`, or `zsh_source` to
`~/.zshrc`, or `_DCLM_COMPLETE=fish_source dclm | source` to `~/.config/fish/completions/dclm.fish`.
"""
"""What all commands have in common."""


def _commands() -> Iterator[str]:
    from dclm.cli.main import dclm, sections

    with click.Context(dclm, info_name="dclm", terminal_width=100, help_option_names=["-h", "--help"]) as context:
        for title, names in sections().items():
            yield f"**{title}**: {', '.join(f'[`{name}`](#dclm-{name})' for name in names)}\n"
        yield COMMON
        for name in itertools.chain.from_iterable(sections().values()):
            command = dclm.get_command(context, name)
            assert command is not None
            yield from _command(command, click.Context(command, info_name=name, parent=context, terminal_width=100))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## `{context.command_path}`\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _command(child, click.Context(child, info_name=name, parent=context, terminal_width=100))
        return
    for answer in answers()[context.command_path.partition(" ")[2]]:
        of = "an object" if answer.each is None else f"a list with one object per {answer.each}"
        yield f"`--json`{'' if answer.when is None else f', {answer.when}'}: {of}\n"
        yield from (f"- {_named(name)}: {meaning}" for name, meaning in answer.fields.items())
        yield ""


def _named(field: str) -> str:
    """A field of a JSON document; a kind of fields is set in italics."""
    return f"*{field[1:-1]}*" if field.startswith("{") else f"`{field}`"
