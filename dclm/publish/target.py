"""The target of a publication: a folder, or a repository of the Hugging Face Hub that receives the same files."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dclm.core.errors import ConfigError
from dclm.core.stages.ownership import require_apart
from dclm.core.storage import atomic_directory
from dclm.core.stores.hub import is_hub_name

HUB = "hf://"
Repository = Literal["dataset", "model"]


@contextlib.contextmanager
def published(to: str, kind: Repository, source: str) -> Iterator[Path]:
    """A folder to fill, which becomes `to` at the end: a new folder, or an upload to hf://ORG/NAME.

    The Hub's token is the one that its own tools use (`hf auth login`, HF_TOKEN).
    Raises: ConfigError if `to` already exists, is another kind of URL, or overlaps with `source`.
    """
    if to.startswith(HUB):
        name = to.removeprefix(HUB).removeprefix("datasets/").strip("/")
        if not is_hub_name(name):
            raise ConfigError(f"--to {to}", "allowed: hf://ORG/NAME", "such as hf://me/my-corpus")
        with tempfile.TemporaryDirectory(prefix="dclm-publish-") as folder:
            yield Path(folder)
            _upload(Path(folder), name, kind)
        return
    if "://" in to:
        raise ConfigError(f"--to {to}", "found a URL, allowed: a folder or hf://ORG/NAME")
    require_apart(to, [source])
    if Path(to).exists():
        raise ConfigError(f"--to {to}", "already exists", "choose a new folder")
    with atomic_directory(Path(to)) as directory:
        yield directory


def _upload(folder: Path, name: str, kind: Repository) -> None:
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        raise ConfigError(f"{HUB}{name}", "needs the package huggingface_hub", "pip install huggingface_hub") from None
    api = hub.HfApi()
    api.create_repo(name, repo_type=kind, exist_ok=True)
    api.upload_folder(repo_id=name, repo_type=kind, folder_path=str(folder))
