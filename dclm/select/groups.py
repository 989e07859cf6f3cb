"""How documents are grouped: by the values of a column, the domain of their URL, or the file that they come from."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, column_of, filled, strings, to_list
from dclm.core.errors import ConfigError
from dclm.text.hosts import canonical_host, hosts, without_www

DOMAIN = "domain"
SOURCE = "source"


def group_names(batch: pa.RecordBatch, column: str, step: str) -> Column:
    """The group of each document, as text; null if it has none.

    Raises: ConfigError if there is no such column, or it contains neither text nor integers.
    """
    if column not in batch.schema.names and column == DOMAIN:
        return hosts(strings(batch.column("url")))
    if column not in batch.schema.names:
        there = ", ".join(n for n in batch.schema.names if not n.startswith("_"))
        raise ConfigError(step, f"no column {column}, found: {there}", "an earlier step must add it")
    values = batch.column(column)
    if column == SOURCE and pa.types.is_string(values.type):  # "file#record"
        return pc.replace_substring_regex(values, r"#[^#]*$", "")
    if pa.types.is_string(values.type) or pa.types.is_integer(values.type):
        return pc.cast(values, pa.string())
    raise ConfigError(step, f"column {column} is {values.type}, allowed: text or whole numbers")


def group_name(name: str, column: str) -> str:
    """The name of a group as written in a recipe, in the form that `group_names` returns."""
    return without_www(canonical_host(name)) if column == DOMAIN and "." in name else name


def group_keys(groups: Column) -> Column:
    """A key (uint64) for each group name, which depends only on the name."""
    encoded = groups.dictionary_encode()
    names = to_list(encoded.dictionary)
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    keys = np.array([int.from_bytes(digest, "little") for digest in digests] + [0], np.uint64)
    places = filled(encoded.indices, len(names)).to_numpy(zero_copy_only=False)
    return column_of(keys[places.astype(np.int64)])
