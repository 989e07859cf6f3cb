"""Functions that turn the bytes of a source into the content of an asset. Each gives the same bytes on every
machine."""

from __future__ import annotations

import ast
import gzip
import io
import json
import tarfile


def gunzip(data: bytes) -> bytes:
    """The content of a gzip file."""
    return gzip.decompress(data)


def gunzip_neox(data: bytes) -> bytes:
    """`neox_without_pii` of a gzip file."""
    return neox_without_pii(gzip.decompress(data))


def neox_without_pii(data: bytes) -> bytes:
    """GPT-NeoX-20B's tokenizer.json, made from OLMo's copy, which adds three `|||…|||` tokens at the end.

    Vocabulary (50,254), merges (50,009) and the 25 other added tokens are those of GPT-NeoX-20B, so ids are equal on
    any text; 50,277 ids in total.
    """
    tokenizer = json.loads(data)
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if not t["content"].startswith("|||")]
    return json.dumps(tokenizer, ensure_ascii=False, indent=1).encode()


def unicode_domains(data: bytes) -> bytes:
    """Top-level domains as listed by IANA (capitals, punycode, a comment) → sorted lowercase Unicode, one per line."""
    labels = [line.strip().lower() for line in data.decode("ascii").splitlines() if not line.startswith("#")]
    names = [n[4:].encode().decode("punycode") if n.startswith("xn--") else n for n in labels if n]
    return ("\n".join(sorted(set(names))) + "\n").encode()


def fineweb_domains(data: bytes) -> bytes:
    """`domains` from datatrove's tar of URL block lists."""
    return _member(data, "domains")


def fineweb_urls(data: bytes) -> bytes:
    """`urls` from datatrove's tar of URL block lists."""
    return _member(data, "urls")


def punkt_english(data: bytes) -> bytes:
    """Punkt's model as the JSON that `dclm.text.punkt.model` reads, from a module of literals, which is not
    executed."""
    values: dict[str, ast.expr] = {}
    for line in ast.parse(data).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            # a set is written as frozenset((…)): its argument is the literal
            value = line.value.args[0] if isinstance(line.value, ast.Call) else line.value
            values[line.targets[0].id] = value
    read = {name: ast.literal_eval(values[name]) for name in ("ABBREV_TYPES", "COLLOCATIONS", "SENT_STARTERS")}
    model = {
        "abbreviations": sorted(read["ABBREV_TYPES"]),
        "collocations": sorted(read["COLLOCATIONS"]),
        "contexts": dict(sorted(ast.literal_eval(values["ORTHO_CONTEXT"]).items())),
        "starters": sorted(read["SENT_STARTERS"]),
    }
    return json.dumps(model, separators=(",", ":")).encode()


def _member(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        handle = archive.extractfile(name)
        assert handle is not None
        return handle.read()
