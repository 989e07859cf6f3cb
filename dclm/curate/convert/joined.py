"""Mappers that depend on earlier ones: languages, and duplicates among parts of texts."""

from __future__ import annotations

from collections.abc import Sequence

from dclm.curate.convert.arguments import Arguments, Entry, Inexpressible

_KEY = "# key"  # key under which DCLM stores a language; connects `language_filter` to the step that detects it
_SPLIT = "# split"  # placed where DCLM makes lists of texts; informs `exact_dedup` of their parts
_PARTS = {"\n": "line", "\n\n": "paragraph"}
_NORMALIZERS = {
    "normalize_url": "url",
    "normalize_whitespace_and_lowercase": "whitespace_and_lowercase",
    "ccnet_dedup_normalizer": "ccnet",
}


def detect_language(a: Arguments) -> Entry:
    a.get("overwrite")
    prefix = a.get("key_prefix", "language_id_whole_page")
    model = a.get("model")
    if model == "langdetect":
        seed = a.get("seed")
        if seed is None:
            raise Inexpressible(f"`{a.func}`: langdetect without a seed differs from run to run", "give it a `seed`")
        return Entry("langdetect", {_KEY: f"{prefix}_langdetect", "seed": seed})
    if model != "fasttext":
        raise a.reject("model", "fasttext or langdetect")
    a.require("seed", None, [None])
    a.notes.append("lid.176.bin is replaced by lid.176.ftz")
    return Entry("language", {_KEY: f"{prefix}_fasttext", "invisible": "keep"})


def filter_language(a: Arguments, before: list[Entry]) -> list[Entry]:
    key = a.get("key", "language_id_whole_page_langdetect")
    fields = {"keep": a.get("keep_languages"), "min_score": a.get("threshold", 0.0)}
    for place in range(len(before) - 1, -1, -1):
        entry = before[place]
        if entry.fields.get(_KEY) == key:
            if place != len(before) - 1:
                raise Inexpressible("`language_filter` must directly follow the mapper that detects the language")
            return [*before[:place], Entry(entry.step, {**entry.fields, **fields})]
    raise Inexpressible(f"`language_filter` reads {key!r}, which no earlier mapper writes")


def split(a: Arguments, before: list[Entry]) -> list[Entry]:
    part = _PARTS.get(str(a.get("delimiter", "\n")))
    if part is None:
        raise a.reject("delimiter", "one newline or two")
    return [*before, Entry(_SPLIT, {"of": part})]


def join(a: Arguments, before: list[Entry]) -> list[Entry]:
    mark = next((entry for entry in before if entry.step == _SPLIT), None)
    if mark is None or _PARTS.get(str(a.get("delimiter", "\n"))) != mark.fields["of"]:
        raise Inexpressible(
            f"`{a.func}` must join with the separator that the preceding `split_lines_modifier` splits at"
        )
    return [entry for entry in before if entry is not mark]


def drop_copies(a: Arguments, before: list[Entry]) -> list[Entry]:
    of = a.get("content_key", "text")
    if of not in ("text", "url"):
        raise a.reject("content_key", "text or url")
    parts = [entry.fields["of"] for entry in before if entry.step == _SPLIT]
    fields: dict[str, object] = {"of": parts[0] if parts and of == "text" else of}
    if (normalize := a.get("normalize")) is not None:
        if normalize not in _NORMALIZERS:
            raise a.reject("normalize", " or ".join(_NORMALIZERS))
        fields["normalize"] = _NORMALIZERS[str(normalize)]
    if (key := a.get("selection_key")) is not None:
        if (key, a.get("selection_normalize")) != ("url", "hash_text"):
            raise a.reject("selection_key", "url with selection_normalize: hash_text")
        a.notes.append("the copy to keep is chosen by the hash of the id instead of the hash of the URL")
        fields["keep"] = "smallest_hash"
    return [*before, Entry("exact", fields)]


def without_keys(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries without markers that only conversion needed."""
    return tuple(Entry(e.step, {k: v for k, v in e.fields.items() if k != _KEY}) for e in entries if e.step != _SPLIT)
