"""Croissant 1.1 (MLCommons) for a data set in Parquet: files with their hashes, columns, and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

VERSION = "http://mlcommons.org/croissant/1.1"
_CR = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _CR},
}


class PublishedFile(NamedTuple):
    """One Parquet file of the data set."""

    path: str
    """Path relative to the data set."""
    sha256: str
    bytes: int


def describe_dataset(
    *,
    name: str,
    description: str,
    license_: str,
    url: str,
    date: str | None,
    fingerprint: str,
    inputs: Mapping[str, str],
    files: Sequence[PublishedFile],
    schema: pa.Schema,
) -> dict[str, Any]:
    """The content of croissant.json.

    date: when the data set was made, ISO 8601. inputs: role → fingerprint of an input (the hash chain).
    """
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": file.path,
            "name": file.path,
            "contentUrl": file.path,
            "contentSize": f"{file.bytes} B",
            "encodingFormat": "application/x-parquet",
            "sha256": file.sha256,
        }
        for file in files
    ]
    records = [_records(file.path, schema) for file in files]
    found: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": name,
        "description": description,
        "license": license_,
        "url": url,
        "version": "1.0.0",
        "identifier": f"sha256:{fingerprint}",
        "prov:wasDerivedFrom": [{"@id": f"urn:sha256:{hash_}", "name": role} for role, hash_ in sorted(inputs.items())],
        "distribution": objects,
        "recordSet": records,
    }
    return found | ({} if date is None else {"datePublished": date})


def _records(path: str, schema: pa.Schema) -> dict[str, Any]:
    """The rows of one file."""
    name = path.rpartition("/")[2].removesuffix(".parquet")
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column.name}",
            "name": column.name,
            "dataType": _type(column.type),
            "source": {"fileObject": {"@id": path}, "extract": {"column": column.name}},
        }
        for column in schema
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
