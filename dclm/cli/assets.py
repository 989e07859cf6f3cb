"""`dclm assets list | fetch | check`: pinned external files, and whether this machine has them."""

from __future__ import annotations

import sys

import click
from rich.table import Table

from dclm.assets import CATALOG, Asset, check_asset, find_asset, get_asset
from dclm.cli.options import open_console, put_result, wants_json
from dclm.core.errors import AssetError


@click.group()
def assets() -> None:
    """Manage pinned external files: models, tokenizers, word lists."""


@assets.command("list")
def list_() -> None:
    """Show every asset: name, license, sha256 and source."""
    table = _table("name", "license", "sha256", "description", "sources")
    for asset in CATALOG:
        sources = "\n".join(source.describe() for source in asset.sources)
        table.add_row(asset.name, asset.licence, (asset.sha256 or "not pinned")[:12], asset.description, sources)
    _show(table)


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
    table = _table("name", "found", "sha256", "license")
    absent = []
    for asset in _chosen(names):
        found = check_asset(asset)
        absent += [] if found else [asset.name]
        where = f"{found.source}: {found.path}" if found else "missing: dclm assets fetch " + asset.name
        table.add_row(asset.name, where, _verdict(asset) if found else "—", asset.licence)
    _show(table)
    if names and absent:
        raise AssetError(", ".join(absent), "not on this machine", f"dclm assets fetch {' '.join(absent)}")


def _chosen(names: tuple[str, ...]) -> list[Asset]:
    return [get_asset(name) for name in names] if names else list(CATALOG)


def _verdict(asset: Asset) -> str:
    return "ok" if asset.sha256 is not None else "not pinned"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _show(table: Table) -> None:
    if wants_json():
        columns = {str(column.header): list(map(str, column.cells)) for column in table.columns}
        put_result([dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)], str)
        return
    open_console(None if sys.stdout.isatty() else 200).print(table)
