"""Steps that can run against an index: the required contents of an index, and which indexes are refused."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from dclm.core.errors import ConfigError, IncompleteError
from dclm.core.record import Record, canonical
from dclm.curate.step import Context, MapFunction, Step

KIND: Literal["index"] = "index"
IN_INDEX = "in_index"
"""Rule recorded for a document dropped because an index contains it (see `documents.schema`)."""
PARTITIONS = 16
"""Number of files per relation: keys are partitioned by `key % PARTITIONS`, like those of a Global step."""


class Indexed(Step):
    """A step with a field `against`: addresses of indexes made with the same settings (`dclm.curate.indexes.index`)."""

    against: tuple[str, ...]
    index_version: ClassVar[int] = 1
    """Raise it when existing indexes can no longer be used."""

    @property
    def artifacts(self) -> tuple[str, ...]:
        return self.against

    def without_addresses(self) -> Step:
        none: dict[str, Any] = {"against": ()}
        return dataclasses.replace(self, **none)

    def stated(self) -> dict[str, object]:
        """The settings stored in an index's record."""
        return {**self.index_settings(), "version": self.index_version}

    @abstractmethod
    def index_settings(self) -> Mapping[str, object]:
        """The settings that an index must share, because they determine the keys. False accepts any."""

    def accept(self, address: str, record: Record) -> None:
        if record.kind != KIND:
            raise ConfigError(
                address, f"found an artifact of kind {record.kind}, allowed: {KIND}", "`dclm dedup index`"
            )
        if record.missing:
            raise IncompleteError(address, f"{len(record.missing)} parts are missing, first: {record.missing[0]}")
        if record.config["step"] != self.name:
            what = f"found an index for `{record.config['step']}`, allowed: one for `{self.name}`"
            raise ConfigError(address, what, f"`dclm dedup index --step {self.name}` makes one")
        found, wanted = record.config["settings"], canonical(self.stated())
        assert isinstance(found, dict)
        assert isinstance(wanted, dict)
        different = [name for name in wanted if wanted[name] is not False and found.get(name) != wanted[name]]
        if different:
            name = different[0]
            others = f" (and {', '.join(different[1:])})" if different[1:] else ""
            what = f"found an index with {name}: {found.get(name)}, allowed: {wanted[name]}, as in the step{others}"
            raise ConfigError(
                address, what, "use the index's settings in the step, or make an index with the step's settings"
            )


class KeyIndexed(Indexed):
    """A step whose index consists of sorted keys."""

    index_version: ClassVar[int] = 2

    @abstractmethod
    def index_keys(self, context: Context) -> Mapping[str, MapFunction]:
        """Name of each relation → function that emits a batch's keys: `key` (uint64), `row`, optionally `check`
        (uint64)."""

    def index_sets(self, context: Context) -> MapFunction | None:
        """Function that emits the sets to compare matches by: `row`, `shingles` (large_list<uint64>). None: no
        comparison."""
        return None


def addresses(against: Sequence[str], context: Context) -> list[str]:
    """Opens the indexes of a step."""
    return [context.files.get(name, name) for name in against]
