"""Places of the killed runs, on a disk or on an S3 server of this machine, and how to flip a bit there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORDS = {
    "pool": "pool/sample/sample-3-60-3/record.json",
    "classifier": "classifiers/hq/record.json",
    "documents": "documents/sample/record.json",
    "tokens": "tokens/record.json",
    "validation": "validation/record.json",
    "train": "train/record.json",
    "scores": "scores/record.json",
}


class Place(ABC):
    """A place for runs."""

    def __init__(self) -> None:
        self.records = dict(RECORDS)
        """Stage → its record, in order."""
        self._before: tuple[str, bytes, bytes] | None = None
        """Key of the flipped file, its content before and after."""

    @abstractmethod
    def address(self, name: str) -> str:
        """The value of `--out` for a run of this name."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """Content of a file; None if it does not exist."""

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        """Replace a file."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether a file exists."""

    @abstractmethod
    def keys(self, out: str) -> list[str]:
        """All files of a run."""

    @abstractmethod
    def remove(self, out: str) -> None:
        """Delete a run."""

    def stage(self, out: str) -> str:
        """The current stage of a run: the first one without a record."""
        for stage, record in self.records.items():
            if not self.exists(f"{out}/{record}"):
                return stage
        return "result"

    def content(self, out: str) -> dict[str, str]:
        """Everything that must be the same in every run: digests of all records, which cover all files, and the
        result."""
        found = {}
        for stage, record in self.records.items():
            content = self.read(f"{out}/{record}")
            try:
                found[stage] = str(json.loads(content or b"{}").get("digest"))
            except ValueError:
                found[stage] = "not JSON"
        content = self.read(f"{out}/result.json")
        try:
            result = json.loads(content or b"{}")
        except ValueError:
            result = "not JSON"
        if isinstance(result, dict):
            result.pop("provenance", None)
        return {**found, "result": json.dumps(result, sort_keys=True)}

    def flip(self, out: str, draw: random.Random) -> str | None:
        """Flip one bit of one file of a run; returns its key, or None if there are no files."""
        keys = [key for key in self.keys(out) if self.read(key)]
        if not keys:
            return None
        key = draw.choice(keys)
        before = self.read(key)
        assert before
        changed = bytearray(before)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        self._before = key, before, bytes(changed)
        self.write(key, bytes(changed))
        return key

    def restore(self, out: str) -> None:
        """Undo the last flip, unless the file was rewritten in the meantime."""
        assert self._before is not None
        key, before, after = self._before
        if self.read(key) in (None, after):
            self.write(key, before)


class Disk(Place):
    """A folder."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    @classmethod
    @contextlib.contextmanager
    def at(cls, root: Path) -> Iterator[Disk]:
        """Runs in this folder."""
        root.mkdir()
        yield cls(root)

    def address(self, name: str) -> str:
        return str(self._root / name)

    def read(self, key: str) -> bytes | None:
        try:
            return Path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, key: str, content: bytes) -> None:
        Path(key).parent.mkdir(parents=True, exist_ok=True)
        Path(key).unlink(missing_ok=True)  # never through a hard link
        Path(key).write_bytes(content)

    def exists(self, key: str) -> bool:
        return Path(key).exists()

    def keys(self, out: str) -> list[str]:
        return sorted(str(p) for p in Path(out).rglob("*") if p.is_file())

    def remove(self, out: str) -> None:
        shutil.rmtree(out)


class Bucket(Place):
    """A bucket of the S3 server."""

    def __init__(self, client: Any, bucket: str) -> None:
        super().__init__()
        self._client, self._bucket = client, bucket

    def _key(self, address: str) -> str:
        return address.removeprefix(f"s3://{self._bucket}/")

    def address(self, name: str) -> str:
        return f"s3://{self._bucket}/{name}"

    def read(self, key: str) -> bytes | None:
        try:
            return bytes(self._client.get_object(Bucket=self._bucket, Key=self._key(key))["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def write(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=content)

    def exists(self, key: str) -> bool:
        name = self._key(key)
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
        return any(item["Key"] == name for item in found.get("Contents", ()))

    def keys(self, out: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._key(out)}/")
        return [f"s3://{self._bucket}/{item['Key']}" for page in pages for item in page.get("Contents", ())]

    def remove(self, out: str) -> None:
        for key in self.keys(out):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))


@contextlib.contextmanager
def s3_place(work: Path) -> Iterator[Bucket]:
    """A fresh bucket on an S3 server in a separate process, which ends with the block."""
    import boto3

    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (work / "moto.txt").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(address)
        os.environ |= {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "DCLM_SCRATCH": str(work / "scratch"),
        }
        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket="kills")
        yield Bucket(client, "kills")
    finally:
        server.kill()
        server.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the S3 server does not start")
