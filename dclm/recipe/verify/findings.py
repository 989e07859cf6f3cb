"""The findings of a verification: the artifacts compared, and every problem with its location."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

Kind = Literal["differs", "missing", "unfinished", "outside"]
"""`outside`: an input that is stored elsewhere and was not read, which is not a fault."""


class Finding(NamedTuple):
    """One problem, or one thing that could not be checked."""

    kind: Kind
    where: str
    what: str


@dataclasses.dataclass(kw_only=True)
class Verified:
    """An artifact whose content was compared."""

    where: str
    """Address relative to the requested one; empty: that one itself."""
    what: str
    """Kind and name."""
    files: int = 0
    bytes: int = 0


@dataclasses.dataclass(kw_only=True)
class VerifyReport:
    """The outcome for one address."""

    address: str
    verified: list[Verified] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def add(self, kind: Kind, where: str, what: str) -> None:
        """Record a finding."""
        self.findings.append(Finding(kind, where, what))

    @property
    def exit_code(self) -> int:
        """3 if something differs or is missing, 4 if something is not finished, else 0."""
        kinds = {finding.kind for finding in self.findings}
        return 3 if kinds & {"differs", "missing"} else 4 if "unfinished" in kinds else 0

    @property
    def bytes(self) -> int:
        """Number of bytes hashed."""
        return sum(each.bytes for each in self.verified)

    def to_json(self) -> dict[str, object]:
        """The report as plain values."""
        return {
            "address": self.address,
            "ok": self.exit_code == 0,
            "verified": [dataclasses.asdict(each) for each in self.verified],
            **{
                kind: [{"where": f.where, "what": f.what} for f in self.findings if f.kind == kind]
                for kind in ("differs", "missing", "unfinished", "outside")
            },
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
        }
