"""What a verification found: what was compared, and every problem with its place."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

Kind = Literal["differs", "missing", "unfinished", "outside"]
"""`outside`: an input that lies elsewhere and was not looked at, which is no fault."""


class Finding(NamedTuple):
    """One thing that is not as it should be, or could not be checked."""

    kind: Kind
    where: str
    what: str


@dataclasses.dataclass(kw_only=True)
class Verified:
    """Something whose content was compared."""

    where: str
    """Address below the one that was asked for; empty: that one itself."""
    what: str
    """Kind and name."""
    files: int = 0
    bytes: int = 0


@dataclasses.dataclass(kw_only=True)
class Report:
    """The outcome for one address."""

    address: str
    verified: list[Verified] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def add(self, kind: Kind, where: str, what: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(kind, where, what))

    @property
    def exit_code(self) -> int:
        """3 where something differs or is missing, 4 where something is not finished, else 0."""
        kinds = {finding.kind for finding in self.findings}
        return 3 if kinds & {"differs", "missing"} else 4 if "unfinished" in kinds else 0

    @property
    def bytes(self) -> int:
        """Bytes that were hashed."""
        return sum(each.bytes for each in self.verified)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
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
