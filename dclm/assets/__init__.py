"""Pinned external files (models, tokenizers, word lists): name → verified local path.

    fetch("lid.176.ftz")              a path whose content has the pinned sha256, downloaded if needed
    resolve("my-words.txt")           the same for a name or a path, with the sha256
    fetch_asset(Asset(...))           an asset that you define

Two assets are not pinned, because nobody publishes their hash: for them `fetch` uses the file that it finds.

Folders: DCLM_ASSETS (files by name, first choice), DCLM_SHARED, DCLM_CACHE. DCLM_OFFLINE=1 forbids the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dclm.assets.catalog import CATALOG
from dclm.assets.sources import AssetSource, LocalFile, Url, WheelMember
from dclm.assets.store import Asset, Found, check_asset, fetch_asset, fetch_assets, find_asset
from dclm.core.config import suggest
from dclm.core.errors import ConfigError
from dclm.core.storage import sha256_directory, sha256_file

__all__ = [
    "CATALOG",
    "Asset",
    "AssetSource",
    "Found",
    "LocalFile",
    "Resolved",
    "Url",
    "WheelMember",
    "check",
    "check_asset",
    "fetch",
    "fetch_asset",
    "fetch_assets",
    "find_asset",
    "get_asset",
    "list_assets",
    "resolve",
]  # fmt: skip


class Resolved(NamedTuple):
    """A file and the hash that identifies it."""

    path: Path
    sha256: str


def list_assets() -> tuple[Asset, ...]:
    """Every asset that ships, in the order of the catalog."""
    return CATALOG


def get_asset(name: str, catalog: tuple[Asset, ...] = CATALOG) -> Asset:
    """The asset of that name. Raises: ConfigError with the nearest name."""
    for asset in catalog:
        if asset.name == name:
            return asset
    names = [asset.name for asset in catalog]
    hint = suggest(name, names) or "`dclm assets list` shows them all"
    raise ConfigError(f"asset {name}", "no such asset, and no such file", hint)


def fetch(name: str) -> Path:
    """The verified local path of a named asset. Raises: ConfigError (unknown name), AssetError (no source has it)."""
    return fetch_asset(get_asset(name))


def check(name: str) -> Found | None:
    """The verified path of a named asset on this machine, found without the network; None if it would have to be
    downloaded."""
    return check_asset(get_asset(name))


def resolve(name_or_path: str, directories: bool = False) -> Resolved:
    """The file that an asset's name or a local path refers to; names take precedence. With `directories`, a path may be
    a directory, such as a model's.

    Raises: ConfigError if it is neither, AssetError if no source of the asset has it.
    """
    path = Path(name_or_path)
    if directories and path.is_dir() and all(asset.name != name_or_path for asset in CATALOG):
        return Resolved(path, sha256_directory(path))
    if path.is_file() and all(asset.name != name_or_path for asset in CATALOG):
        return Resolved(path, sha256_file(path))
    asset = get_asset(name_or_path)
    found = fetch_asset(asset)
    return Resolved(found, asset.sha256 or sha256_file(found))
