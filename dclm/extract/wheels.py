"""Earlier versions of Resiliparse: wheels that are unpacked in the cache and imported only by the child process."""

from __future__ import annotations

import platform
import sys
import zipfile
from pathlib import Path
from typing import Literal

from dclm.assets.cache import cache_root, lock
from dclm.assets.catalog import RESILIPARSE, resiliparse_asset
from dclm.core.errors import AssetError, ConfigError
from dclm.core.storage import atomic_directory, sha256_file

EarlierVersion = Literal["0.14.5", "0.15.2"]
"""0.14.5: from 2023-08, with which DCLM's pool was made. 0.15.2: the last 0.x, whose texts equal those of 1.1."""


def wheel_asset(version: EarlierVersion) -> str:
    """The name of the asset with the wheel that fits this machine.

    Raises: ConfigError if none exists.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    here = (platform.system(), platform.machine(), platform.python_implementation())
    if here != ("Linux", "x86_64", "CPython") or (version, python) not in RESILIPARSE:
        pythons = " and ".join(p for v, p in RESILIPARSE if v == version)
        what = f"no wheel fits {here[2]} {python} on {here[0]} {here[1]}, allowed: CPython {pythons} on Linux x86_64"
        hint = "omit `version` to use the installed one, or run curation on such a machine"
        raise ConfigError(f"extract: resiliparse {version}", what, hint)
    return resiliparse_asset(version, python)


def unpack(wheel: Path) -> Path:
    """The directory with the content of a wheel, unpacked once for all processes that share the cache.

    Raises: AssetError if the file is not a wheel.
    """
    identity = sha256_file(wheel)
    directory = cache_root() / "wheels" / identity[:16]
    with lock(f"wheel-{identity[:16]}"):
        if not directory.is_dir():
            try:
                with atomic_directory(directory) as folder, zipfile.ZipFile(wheel) as archive:
                    archive.extractall(folder)
            except zipfile.BadZipFile as error:
                raise AssetError(str(wheel), f"not a wheel: {error}") from None
    return directory
