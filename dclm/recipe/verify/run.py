"""`dclm verify`: compares pool → documents → tokens → checkpoints → scores → result.json with their records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from dclm.core.errors import DclmError
from dclm.core.record import RECORD, Record, content_hash, read_record
from dclm.core.storage import is_local
from dclm.core.stores.store import absolute, join
from dclm.pool.recorded import listed_identity
from dclm.recipe.verify.contents import content_problems, result_problems
from dclm.recipe.verify.files import Found, compare_files, find_artifacts
from dclm.recipe.verify.findings import Verified, VerifyReport
from dclm.recipe.verify.links import checkpoint_model, plain_inputs, pool_file_identity

_STAGES = ("documents", "across", "tokens", "validation", "train", "scores", "classifiers", "pool")
"""Folders of a run in which every artifact has a record."""


def verify(address: str, say: Callable[[str], None] = lambda line: None) -> VerifyReport:
    """Check a run, or one artifact, at a local folder or URL: every file is hashed, nothing is changed. Raises:
    DataError if no artifact is found.
    """
    return _Verification(absolute(address), say).run()


class _Verification:
    def __init__(self, address: str, say: Callable[[str], None]) -> None:
        self.address, self.say = address, say
        self.report = VerifyReport(address=address)
        self.found: Found = find_artifacts(address)
        self.records: dict[str, Record] = {}
        """Relative address → intact record."""
        self.whole: set[str] = set()
        """Artifacts whose files all match their record."""

    def run(self) -> VerifyReport:
        """Run all checks."""
        started = time.perf_counter()
        for name in self.found.artifacts:
            self._artifact(name)
        for name in self.found.unfinished:
            self.report.add("unfinished", name, "the work is unfinished: run the same command again")
        for name in self._without_record():
            self.report.add("missing", join(name, RECORD), "no such file, although files of an artifact exist")
        for name, record in self.records.items():
            self._links(name, record)
        for name in self.found.results:
            self._result(name)
        self.report.seconds = time.perf_counter() - started
        return self.report

    def _artifact(self, name: str) -> None:
        """Check the record and every file that it names."""
        try:
            record = read_record(self._at(name))
        except DclmError as error:
            self.report.add("differs", _below(name, RECORD), error.problems[0].what)
            return
        self.records[name] = record
        verified = Verified(where=name, what=f"{record.kind} {record.name}")
        bad = 0
        for entry, problem in compare_files(self._at(name), record.files):
            if problem is None:
                verified.files += 1
                verified.bytes += entry.bytes
            else:
                bad += 1
                self.report.add(problem.kind, _below(name, entry.path), problem.what)
        if not record.digest:
            self.report.add("outside", _below(name, RECORD), "was written by a version that did not hash its records")
        if not bad:
            self.whole.add(name)
            for what in content_problems(self._at(name), record):
                self.report.add("differs", name, what)
        self.report.verified.append(verified)
        self.say(f"{name or self.address}: {verified.what}, {verified.files} of {len(record.files)} files are intact")

    def _at(self, name: str) -> str:
        return join(self.address, name) if name else self.address

    def _without_record(self) -> list[str]:
        """Folders of a run that should contain an artifact and do not."""
        if not self.found.is_run:
            return []
        known = {*self.found.artifacts, *self.found.unfinished}
        lacking = set()
        for file in self.found.files:
            parts = file.split("/")
            depth = {"documents": 2, "classifiers": 2, "pool": 3}.get(parts[0], 1)
            if parts[0] in _STAGES and len(parts) > depth:
                lacking.add("/".join(parts[:depth]))
        return sorted(lacking - known)

    def _links(self, name: str, record: Record) -> None:
        """Check that each input that is part of the run is the one that was used."""
        here = {other.fingerprint: (place, other) for place, other in self.records.items()}
        here |= {content_hash(other): found for found in list(here.values()) if (other := found[1]).kind == "index"}
        plain = plain_inputs(self.records.values())
        for role, mark in sorted(record.inputs.items()):
            where = _below(name, RECORD)
            if mark in here:
                place, other = here[mark]
                digest = record.input_digests.get(role)
                if digest is not None and other.digest != digest:
                    what = (
                        f"was made from a {role} with the digest {digest[:12]}…, but {place} has {other.digest[:12]}…"
                    )
                    self.report.add("differs", where, what)
            elif (record.kind, role) in (("documents", "pool"), ("index", "documents")):
                self._pool(name, record, mark)
            elif record.kind == "scores" and role == "model":
                self._model(where, record, mark)
            elif mark not in plain:
                expected = role in record.input_digests and self.found.is_run
                what = f"was made from {role} {mark[:12]}…, which was not found"
                self.report.add("missing" if expected else "outside", where, what)

    def _model(self, where: str, record: Record, mark: str) -> None:
        """Check that the scored checkpoint is the last one of the training run."""
        trained = next((r for r in self.records.values() if r.fingerprint == record.inputs.get("checkpoint")), None)
        if trained is None:
            self.report.add("outside", where, f"the model {mark[:12]}… was not found")
        elif (found := checkpoint_model(trained)) != mark:
            what = f"scored the model {mark[:12]}…, but the last checkpoint of the training run is {found[:12]}…"
            self.report.add("differs", where, what)

    def _pool(self, name: str, record: Record, mark: str) -> None:
        """Check the pool files that were read, if the record lists them."""
        listing = record.provenance.get("pool")
        where = _below(name, RECORD)
        if not isinstance(listing, list):
            self.report.add("outside", where, "does not list the files of its pool")
            return
        if listed_identity(listing) != mark:
            self.report.add("differs", where, "the list of its pool's files differs from the files that were read")
            return
        verified = Verified(where=name, what="pool files")
        for file in listing:
            place = str(file["address"])
            if is_local(place) and not os.path.exists(place) and is_local(self.address):
                place = self._moved(place)
            size, found = pool_file_identity(place, file)
            if size is None:
                self.report.add("missing", place, f"no such file, but the {record.kind} artifact was made from it")
            elif found is None:
                self.report.add("outside", place, "is on an external server and is not downloaded")
            elif found == file["identity"]:
                verified.files += 1
                verified.bytes += size
            else:
                what = f"found {found[:12]}…, allowed: {file['identity'][:12]}…, as when it was read"
                self.report.add("differs", place, what)
        self.report.verified.append(verified)

    def _moved(self, path: str) -> str:
        """Location of a pool file in a run that was copied elsewhere."""
        tail = path.rpartition("/pool/")[2]
        moved = os.path.join(self.address, "pool", tail)
        return moved if os.path.exists(moved) else path

    def _result(self, name: str) -> None:
        place = join(self._at(name), "result.json")
        inside = {n: r for n, r in self.records.items() if not name or n.startswith(f"{name}/")}
        problems = list(result_problems(place, self._at(name), inside, self.whole))
        for what in problems:
            self.report.add("differs", _below(name, "result.json"), what)
        if not problems:
            self.report.verified.append(Verified(where=_below(name, "result.json"), what="result", files=1))
            self.say(f"{_below(name, 'result.json')}: agrees with the records")


def _below(name: str, file: str) -> str:
    return join(name, file) if name else file
