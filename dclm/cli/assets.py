"""`dclm assets list | fetch | check`: pinned external files, and whether this machine has them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table

from dclm.assets import CATALOG, Asset, check_asset, find_asset, get_asset
from dclm.cli.shared.options import open_console, put_result
from dclm.core.errors import AssetError


@click.group()
def assets() -> None:
    """Manage pinned external files: models, tokenizers, word lists."""


@assets.command("list")
def list_() -> None:
    """Show every asset: name, license, sha256 and source."""
    values = [
        {
            "name": asset.name,
            "license": asset.licence,
            "sha256": asset.sha256,
            "description": asset.description,
            "sources": [source.describe() for source in asset.sources],
        }
        for asset in CATALOG
    ]
    put_result(values, lambda: _show(values))


@assets.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME]…")
def fetch(names: tuple[str, ...]) -> None:
    """Download assets (all pinned ones if none is named) to this machine, and print their paths."""
    paths: dict[str, str] = {}
    for asset in _chosen(names) if names else [asset for asset in CATALOG if asset.sha256 is not None]:
        found = find_asset(asset)
        paths[asset.name] = str(found.path)
    put_result(paths, lambda: "\n".join(f"{name}\t{path}" for name, path in paths.items()))


@assets.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]…")
def check(names: tuple[str, ...]) -> None:
    """Show which assets this machine already has, without using the network. Exit 3 if a named asset is missing."""
    chosen = _chosen(names)
    found = {asset.name: check_asset(asset) for asset in chosen}
    values = [
        {
            "name": asset.name,
            "path": None if at is None else at.path,
            "source": None if at is None else at.source,
            "sha256": asset.sha256,
            "license": asset.licence,
        }
        for asset in chosen
        for at in (found[asset.name],)
    ]
    put_result(values, lambda: _show_found(values))
    absent = [name for name, at in found.items() if at is None]
    if names and absent:
        raise AssetError(", ".join(absent), "not on this machine", f"dclm assets fetch {' '.join(absent)}")


def _chosen(names: tuple[str, ...]) -> list[Asset]:
    return [get_asset(name) for name in names] if names else list(CATALOG)


def _show(values: Sequence[Mapping[str, Any]]) -> None:
    table = _table("name", "license", "sha256", "description", "sources")
    for asset in values:
        pinned = (asset["sha256"] or "not pinned")[:12]
        table.add_row(asset["name"], asset["license"], pinned, asset["description"], "\n".join(asset["sources"]))
    _print(table)


def _show_found(values: Sequence[Mapping[str, Any]]) -> None:
    table = _table("name", "found", "sha256", "license")
    for asset in values:
        name, path = asset["name"], asset["path"]
        where = f"missing: dclm assets fetch {name}" if path is None else f"{asset['source']}: {path}"
        verdict = "—" if path is None else "ok" if asset["sha256"] is not None else "not pinned"
        table.add_row(name, where, verdict, asset["license"])
    _print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    open_console(None if sys.stdout.isatty() else 200).print(table)
