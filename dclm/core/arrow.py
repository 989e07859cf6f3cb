"""Typed forms of pyarrow: names for its generic types, and functions that its type stubs describe too narrowly.

The stubs make arrays generic, which they are not when the program runs; and they forget that compute functions take
Python values, that arrays are buffers, and that a column without nulls has no None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    Column: TypeAlias = pa.Array[Any]
    Chunks: TypeAlias = pa.ChunkedArray[Any]
    Lists: TypeAlias = pa.ListArray[Any]
    LargeLists: TypeAlias = pa.LargeListArray[Any]
    Dictionary: TypeAlias = pa.DictionaryArray[Any, Any]
    AnyField: TypeAlias = pa.Field[Any]
else:
    Column, Chunks, AnyField = pa.Array, pa.ChunkedArray, pa.Field
    Lists, LargeLists, Dictionary = pa.ListArray, pa.LargeListArray, pa.DictionaryArray

C = TypeVar("C", bound="Column | Chunks")


def strings(column: Column) -> pa.StringArray:
    """The column, which has the type `pa.string()`."""
    return cast(pa.StringArray, column)


def large_lists(column: Column | Chunks) -> LargeLists:
    """The column in one piece, which has a type of large lists."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return cast(LargeLists, whole)


def booleans(column: Column) -> pa.BooleanArray:
    """The column, which has the type `pa.bool_()`."""
    return cast(pa.BooleanArray, column)


def lists(column: Column) -> Lists:
    """The column, which has a type of lists."""
    return cast(Lists, column)


def list_values(column: Column) -> Column:
    """The values of all lists of a column, without regard to where a slice of it begins."""
    return cast(Lists, column).values


def one_list_array(column: Chunks) -> Lists:
    """The column, which has a type of lists, in one piece."""
    whole: Any = column.combine_chunks()
    return cast(Lists, pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole)


def list_array(offsets: NDArray[np.int32], values: Column) -> Lists:
    """List i is `values[offsets[i]:offsets[i + 1]]`."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def large_list_array(offsets: NDArray[np.int64], values: Column) -> LargeLists:
    """List i is `values[offsets[i]:offsets[i + 1]]`."""
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)


def structs(column: Column) -> pa.StructArray:
    """The column, which has a type of structs."""
    return cast(pa.StructArray, column)


def struct_field(column: Column, name: str) -> Column:
    """One field of a column of structs, null where the struct is."""
    found: Column = pc.struct_field(column, name)
    return found


def concatenated(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows of all batches, which have one schema."""
    found: pa.RecordBatch = cast(Any, pa).concat_batches(batches)
    return found


def schema_of(*fields: AnyField) -> pa.Schema:
    """The schema with these fields."""
    return pa.schema(list(fields))


def joined(columns: Sequence[C], between: str) -> C:
    """Columns of strings, joined row by row; null if one of them is."""
    found: C = pc.binary_join_element_wise(*cast(Any, columns), between)
    return found


def replaced(column: pa.StringArray, mask: Column, values: Column) -> pa.StringArray:
    """The column with the values instead of those in the mask, in order."""
    found: pa.StringArray = pc.replace_with_mask(column, cast(Any, mask), values)
    return found


def dictionary(column: Column) -> Dictionary:
    """The column, which is dictionary-encoded."""
    return cast(Dictionary, column)


def to_list(column: Column | Chunks) -> list[Any]:
    """The values of a column, which are of its Python type, or None where it has nulls."""
    return column.to_pylist()


def filled(column: C, value: object) -> C:
    """The column with a value of its type instead of nulls."""
    found: C = pc.fill_null(column, cast(Any, value))
    return found


def lengths(column: Column | Chunks) -> Column:
    """The number of bytes of each string or binary value, null for null."""
    found: Column = pc.binary_length(cast(Any, column))
    return found


def negated(column: Column) -> pa.Int64Array:
    """The column of whole numbers with the opposite signs."""
    return cast(pa.Int64Array, pc.negate(pc.cast(column, pa.int64())))


def num_true(mask: Column | Chunks) -> int:
    """Number of rows that are true."""
    return int(pc.sum(cast(Any, mask), min_count=0).as_py())


def column_of(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> Column:
    """The values as a column without copying, null where they are missing."""
    found: Column = pa.array(values, mask=missing)
    return found


def buffer_of(values: NDArray[Any]) -> pa.Buffer:
    """The bytes of an array, without copying."""
    return pa.py_buffer(cast(Any, values))


def from_buffer(buffer: pa.Buffer, dtype: type[np.generic], count: int = -1) -> NDArray[Any]:
    """The first `count` values in a buffer (-1: all), without copying."""
    return np.frombuffer(cast(Any, buffer), dtype, count)
