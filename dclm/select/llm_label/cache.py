"""Requests to a language model and its answers, one small file each, so that a later run needs no model."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dclm.core.errors import DataError
from dclm.core.storage import TEMPORARY

Request = Mapping[str, object]


class AnswerCache:
    """A folder of `ab/ab….json` files named by the hash of the request. Any number of processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, request: Request) -> str | None:
        """The answer to the same request, or None. Raises: DataError if its file is damaged or of another request."""
        path = self._path(request)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DataError(
                str(path), f"not JSON: {error}", "delete the file; the request will be sent again"
            ) from None
        if not isinstance(kept, dict) or kept.get("request") != json.loads(json.dumps(request)):
            raise DataError(
                str(path), "contains a different request", "delete the file; the request will be sent again"
            )
        if not isinstance(kept.get("answer"), str):
            raise DataError(str(path), "contains no answer", "delete the file; the request will be sent again")
        return str(kept["answer"])

    def put(self, request: Request, answer: str) -> str:
        """Store an answer. If another process has already stored one, that one is returned instead."""
        path = self._path(request)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"request": request, "answer": answer}, sort_keys=True) + "\n"
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=TEMPORARY) as file:
            file.write(content.encode())
            file.flush()
            os.chmod(file.name, 0o644)
            try:
                os.link(file.name, path)
            except FileExistsError:
                return self.get(request) or answer
        return answer

    def require_model(self, name: str, sha256: str) -> None:
        """Record the model file behind a name. Raises: DataError if the stored answers are from another file."""
        request = {"model": name, "identity": True}
        known = self.get(request) or self.put(request, sha256)
        if known != sha256:
            what = f"its answers are from a file {known[:12]}…, but {name} is now {sha256[:12]}…"
            raise DataError(str(self._folder), what, "choose another `cache`")

    def _path(self, request: Request) -> Path:
        text = json.dumps(request, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / key[:2] / f"{key}.json"
