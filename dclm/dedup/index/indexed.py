"""Steps that can be run against an index: what the index must hold, and which indexes are refused."""

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
"""The rule by which a document is dropped that an index holds (see `documents.schema`)."""
PARTITIONS = 16
"""Files of a relation: keys are spread by `key % PARTITIONS`, as those of a Global step."""


class Indexed(Step):
    """A step with a field `against`: addresses of indexes made with the same settings (see `dclm.curate.index`)."""

    against: tuple[str, ...]
    index_version: ClassVar[int] = 1
    """Raise it when indexes made before can no longer be used."""

    @property
    def artifacts(self) -> tuple[str, ...]:
        return self.against

    def without_addresses(self) -> Step:
        none: dict[str, Any] = {"against": ()}
        return dataclasses.replace(self, **none)

    def stated(self) -> dict[str, object]:
        """What an index's record states as its settings."""
        return {**self.index_settings(), "version": self.index_version}

    @abstractmethod
    def index_settings(self) -> Mapping[str, object]:
        """The settings that an index must share: those that decide what is looked up. False asks for nothing."""

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
            what = f"found an index with {name}: {found.get(name)}, allowed: {wanted[name]} as the step has{others}"
            raise ConfigError(address, what, "give the step the index's settings, or make an index with the step's")


class KeyIndexed(Indexed):
    """A step whose index consists of sorted keys."""

    @abstractmethod
    def index_keys(self, context: Context) -> Mapping[str, MapFunction]:
        """Name of each relation → what emits its keys from a batch: `key` (uint64), `row`, perhaps `check` (uint64)."""

    def index_sets(self, context: Context) -> MapFunction | None:
        """What emits the sets by which matches are compared: `row`, `shingles` (large_list<uint64>). None: nothing."""
        return None


def addresses(against: Sequence[str], context: Context) -> list[str]:
    """Where a step finds its indexes."""
    return [context.files.get(name, name) for name in against]
