"""Models and data sets of the Hugging Face Hub on this machine: snapshots in its cache; nothing is downloaded."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Literal

from dclm.core.errors import DataError

HUB = "hf:"
"""Prefix of `ORG/NAME` or of a directory."""
HubKind = Literal["model", "dataset"]
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_name(text: str) -> bool:
    """Whether the text has the form ORG/NAME."""
    return _NAME.fullmatch(text) is not None


def snapshot(name: str, kind: HubKind) -> Path:
    """The directory in the local cache with the files of ORG/NAME.

    Raises: DataError if the cache does not have it: downloading is an explicit choice of the user.
    """
    where = f"{HUB}{name}"
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        what = "the package huggingface_hub, which locates the cache, is not installed"
        raise DataError(where, what, "pip install huggingface_hub") from None
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    option = " --repo-type dataset" if kind == "dataset" else ""
    try:
        return Path(hub.snapshot_download(name, repo_type=kind, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        what = f"no such {kind} in the local cache of the Hub, and no such directory"
        raise DataError(where, what, f"download it: `hf download {name}{option}`") from None


def data_path(path: str) -> str:
    """The local path of `hf:ORG/NAME` (a data set's snapshot) or `hf:ORG/NAME/FILES`; other paths unchanged.

    Raises: DataError if the cache does not have the data set.
    """
    if not path.startswith(HUB) or path.startswith(f"{HUB}//"):
        return path
    org, _, rest = path.removeprefix(HUB).partition("/")
    name, _, files = rest.partition("/")
    root = snapshot(f"{org}/{name}", "dataset")
    return str(root / files) if files else str(root)
