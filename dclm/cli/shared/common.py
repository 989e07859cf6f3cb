"""The options that every command has: -v, -q and --json."""

from __future__ import annotations

import functools
import resource
import time
import traceback
from typing import Any

import click

from dclm.cli.shared.output import complain, printing, say
from dclm.core.errors import DclmError

FLAGS = ("--verbose", "--quiet", "--json")


def equip(command: click.Command) -> click.Command:
    """Give these options to a command, or to all commands of a group. Twice is the same as once."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            equip(inner)
        return command
    known = {name for parameter in command.params for name in parameter.opts}
    if command.callback is None or "--quiet" in known:
        return command
    command.params += [
        click.Option(["-v", "--verbose"], is_flag=True, help="Also show times, memory, and where an error arises."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Print only results and errors: no progress, no notes."),
        click.Option(["--json", "_json"], is_flag=True, help="Print the result as one JSON document."),
    ]
    command.callback = _with_output(command.callback)
    return command


def _with_output(callback: Any) -> Any:
    """`callback`, printing as the options say."""

    @functools.wraps(callback)
    def call(*arguments: Any, **values: Any) -> Any:
        verbose, quiet = values.pop("verbose"), values.pop("quiet")
        with printing(verbose=verbose, quiet=quiet, as_json=values.pop("_json")):
            started = time.monotonic()
            try:
                result = callback(*arguments, **values)
            except DclmError as error:
                if verbose:
                    complain("".join(traceback.format_exception(error)).rstrip())
                raise
            if verbose:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
                say(f"took {time.monotonic() - started:.1f} s, at most {memory:,.0f} MB in this process")
            return result

    return call
