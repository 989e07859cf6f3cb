"""`dclm`: the group of all commands, and how errors become three lines and an exit code."""

from __future__ import annotations

import errno
import importlib
import sys

import click

from dclm import __version__
from dclm.cli.shared.common import equip
from dclm.cli.shared.hints import active_command, fitted, nearest_command
from dclm.cli.shared.output import complain
from dclm.core.errors import ConfigError, DataError, DclmError
from dclm.core.stages import stopping
from dclm.core.stages.stopping import Stopped

COMMANDS = {
    "ablate": "documents.ablate",
    "aggregate": "models.evaluate",
    "assets": "assets",
    "bench": "bench",
    "board": "board",
    "classifier": "documents.classifier",
    "cluster": "cluster",
    "compare": "science.compare",
    "contamination": "models.contamination",
    "convert-pipeline": "documents.convert",
    "dedup": "documents.dedup",
    "docs": "reference.docs",
    "curate": "documents.curate",
    "evaluate": "models.evaluate",
    "experiment": "science.experiment",
    "jobs": "jobs",
    "mix": "science.mix",
    "model": "models.model",
    "noise": "science.noise",
    "plan": "documents.inspect",
    "pool": "documents.pool",
    "predict": "science.predict",
    "publish": "publish",
    "report": "documents.report",
    "run": "run",
    "scaling": "science.scaling",
    "score": "documents.score",
    "show": "documents.inspect",
    "submit": "cluster",
    "tokenize": "models.tokenize",
    "tokens": "models.tokenize",
    "train": "models.train",
    "verify": "verify",
    "why": "documents.inspect",
}
"""Command → module in `dclm.cli` that defines it (as a click command of that name, `-` written `_`).

Modules are imported only when their command is called, so that `dclm --help` needs neither torch nor ray."""
SECTIONS = {
    "A whole experiment": ["plan", "run", "submit", "jobs", "cluster"],
    "Stage by stage": ["pool", "curate", "tokenize", "tokens", "train", "evaluate", "aggregate", "model"],
    "Inspecting results": ["show", "why", "report", "verify", "dedup", "contamination"],
    "Tuning a pipeline": ["ablate", "score", "classifier", "bench", "convert-pipeline"],
    "Deciding": ["compare", "noise", "predict", "scaling", "experiment", "mix"],
    "Sharing": ["board", "publish"],
    "Assets and documentation": ["assets", "docs"],
}
"""Title → commands, in the order of the work: how `dclm --help` and docs/cli.md show them."""


def sections() -> dict[str, list[str]]:
    """SECTIONS, followed by a section for commands that none of them lists."""
    placed = {name for names in SECTIONS.values() for name in names}
    others = sorted(set(COMMANDS) - placed)
    return {**SECTIONS, **({"Other": others} if others else {})}


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in the order of the work, by section."""
        for title, names in sections().items():
            with formatter.section(title):
                found = ((name, self.get_command(ctx, name)) for name in names)
                formatter.write_dl([(name, c.get_short_help_str(300)) for name, c in found if c is not None])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"dclm.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return equip(command)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def dclm() -> None:
    """Vary the data, keep everything else fixed: curate, tokenize, train, evaluate, compare."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 2 configuration, 3 data, 4 incomplete, 1 bug (with a traceback).

    If a signal ends the command, the code is 128 plus its number, such as 143 for SIGTERM.
    """
    stopping.install()
    try:
        dclm.main(args=arguments, standalone_mode=False)
    except DclmError as error:
        given = sys.argv[1:] if arguments is None else arguments
        complain(f"error: {fitted(error, active_command(dclm, given), dclm)}")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        if (hint := nearest_command(dclm, sys.argv[1:] if arguments is None else arguments)) is not None:
            complain(f"hint: {hint}")
        sys.exit(2)
    except (OSError, MemoryError, ImportError, RuntimeError) as error:
        known = _environment(error)
        if known is None:
            raise
        complain(f"error: {known}")
        sys.exit(known.exit_code)
    except Stopped as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted: run the same command again to continue from what is finished")
        sys.exit(130)
    finally:
        stopping.uninstall()


def _environment(error: Exception) -> DclmError | None:
    """The problem with the machine or the given paths, or None if the error is a bug."""
    from dclm.core.memory import is_memory_full
    from dclm.core.storage import is_disk_full

    if is_memory_full(error):
        what = f"there is not enough of it: {(str(error).splitlines() or [type(error).__name__])[0][:120]}"
        hint = "use fewer --workers, or allow more (`ulimit -v` shows the limit); finished work is reused"
        return DataError("memory", what, hint)
    if not isinstance(error, OSError):
        return None
    if is_disk_full(error):
        where = str(error.filename or "no space left")
        return DataError(where, "the disk is full", "free some space and run the same command again")
    if error.errno in (errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS) and error.filename is not None:
        hint = "choose a directory that you can write to, or check the permissions"
        return ConfigError(str(error.filename), f"cannot be used: {error.strerror}", hint)
    return None


if __name__ == "__main__":
    main()
