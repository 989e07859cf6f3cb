"""Hints that fit the command that shows them: an option for a stage's own command, a field for a recipe.

After `dclm train`, a hint says `--epochs 3`; after `dclm run`, it says `epochs: 3` in the recipe. An option that
neither the command nor the recipe has is named together with its command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from dclm.core.config import suggest
from dclm.core.errors import DclmError, Problem

_OPTION = re.compile(r"(dclm [a-z -]*?(?:[A-Z]+ )?)?(?<![\w-])(--[a-z][a-z-]*)(?:[ =](\d[\w.]*|[A-Z]+\b))?")
_FIELDS = {
    "--epochs": "`epochs: {}` in the recipe",
    "--max-repeats": "`epochs: {}` in the recipe",
    "--tokens": "`tokens: {}` in the recipe",
    "--num-tokens": "`tokens: {}` in the recipe",
    "--limit": "`limit: {}` in the recipe",
    "--suite": "`suite: {}` in the recipe",
    "--max-reject-fraction": "`max_reject_fraction: {}` in the recipe",
    "--allow-incomplete": "`allow_incomplete: true` in the recipe",
}
"""Option of a stage's own command → the equivalent field of a recipe; {}: the value."""
_AGAIN = "the same command"
"""The equivalent of `--resume` for commands that always continue."""


def fitted(error: DclmError, command: click.Command, root: click.Group) -> DclmError:
    """The error with hints that only name options of `command`. `root`: the group of all commands."""
    problems = [
        Problem(p.where, fit_hint(p.what, command, root), p.hint and fit_hint(p.hint, command, root))
        for p in error.problems
    ]
    return type(error)(*problems[0], others=problems[1:])


def fit_hint(text: str, command: click.Command, root: click.Group) -> str:
    """The text with every option that `command` lacks replaced by its equivalent there."""
    own = options(command)
    reads_recipe = any(p.name in ("recipe", "file") for p in command.params)

    def replace(match: re.Match[str]) -> str:
        before, option, value = match.group(1), match.group(2), match.group(3)
        if before or option in own:
            return match.group(0)
        if reads_recipe and option in _FIELDS:
            return _FIELDS[option].format(value or "…")
        if option == "--resume":
            return _AGAIN
        other = next((path for path, names in _all_options(root, "dclm") if option in names), None)
        return match.group(0) if other is None else f"`{other} {match.group(0)}`"

    return _OPTION.sub(replace, text)


def active_command(root: click.Group, arguments: list[str]) -> click.Command:
    """The command that these arguments call, or the last group that they name."""
    command: click.Command = root
    for argument in arguments:
        if not isinstance(command, click.Group):
            break
        if argument.startswith("-"):
            continue
        found = command.get_command(click.Context(command), argument)
        if found is None:
            break
        command = found
    return command


def nearest_command(root: click.Group, arguments: list[str]) -> str | None:
    """`did you mean …?` if the arguments call a command that does not exist, else None."""
    command: click.Command = root
    for argument in (a for a in arguments if not a.startswith("-")):
        if not isinstance(command, click.Group):
            return None
        context = click.Context(command)
        found = command.get_command(context, argument)
        if found is None:
            return suggest(argument, command.list_commands(context))
        command = found
    return None


def options(command: click.Command) -> set[str]:
    """All spellings of a command's options that begin with two dashes."""
    return {name for p in command.params for name in (*p.opts, *p.secondary_opts) if name.startswith("--")} | {"--help"}


def _all_options(group: click.Group, path: str) -> Iterator[tuple[str, set[str]]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _all_options(command, f"{path} {name}")
        elif command is not None:
            yield f"{path} {name}", options(command)
