"""Links between artifacts and inputs other than records: models by their files, plain files by their hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping

from dclm.core.record import Record, fingerprint
from dclm.core.storage import is_local, sha256_file
from dclm.core.stores.store import size_of
from dclm.model.load import CHECKPOINTS, STEP
from dclm.model.weights import CONFIG, MODEL, TOKENIZER, TOKENIZER_CONFIG
from dclm.pool.files import InputFile, file_identity, is_http, kind_of

_MODEL_FILES = (MODEL, CONFIG, TOKENIZER, TOKENIZER_CONFIG)


def checkpoint_model(record: Record) -> str:
    """The `model_fingerprint` (see `dclm.eval.run.eval_model`) of the last checkpoint of a training run."""
    hashes = {entry.path: entry.sha256 for entry in record.files}
    steps = {path.split("/")[1] for path in hashes if path.startswith(f"{CHECKPOINTS}/{STEP}")}
    if not steps:
        return "none"
    last = max(steps, key=lambda name: int(name.removeprefix(STEP)))
    digest = hashlib.sha256()
    for name in _MODEL_FILES:
        if (found := hashes.get(f"{CHECKPOINTS}/{last}/{name}")) is not None:
            digest.update(f"{name}\0{found}\n".encode())
    return digest.hexdigest()


def plain_inputs(records: Iterable[Record]) -> set[str]:
    """Fingerprints of the files of these artifacts, in the form in which other artifacts name their input files."""
    hashes = {entry.sha256 for record in records for entry in record.files}
    return hashes | {fingerprint([found]) for found in hashes}


def pool_file_identity(address: str, listed: Mapping[str, object]) -> tuple[int | None, str | None]:
    """Size of a pool's file in bytes (None: it no longer exists), and its current `file_identity`. listed: its entry in
    the documents' record. The identity is None for files on a web server.
    """
    if is_http(address) or "parts" in listed:
        return 0, None
    if is_local(address):
        if not os.path.isfile(address):
            return None, None
        found = sha256_file(address)
        fields = listed.get("fields")
        return os.path.getsize(address), found if fields is None else fingerprint([found, fields])
    size = size_of(address)
    if size is None:
        return None, None
    file = InputFile(path=address, name=str(listed["name"]), kind=kind_of(address) or "warc", size=size)
    return size, file_identity(file)
