"""What counts as equal for exact deduplication: the reference's normalizers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import filled, replaced
from dclm.text.hosts import canonical_url

Normalizer = Literal["url", "canonical_url", "whitespace_and_lowercase", "ccnet"]

_ASCII_SPACE = "\t\n\v\f\r\x1c\x1d\x1e\x1f "  # of `str.strip`
_SCHEME = re.compile(r"https?://(www\.)?")
_TRACKING = re.compile(r"\?(utm_|ref|feed).*")
_DIGIT = re.compile(r"\d")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_PUNCTUATION = re.compile("[，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►]")  # characters that CCNet maps


def normalize_url(url: str) -> str:
    """The URL without scheme, `www.`, tracking parameters and trailing slashes.

    Source: `normalize_url` in DCLM's core_utils, after TFDS's c4_utils. As there, a scheme is removed wherever it
    occurs, the parameters from the first match to the end of the line, and case is kept.
    """
    return _TRACKING.sub("", _SCHEME.sub("", url)).rstrip("/")


def normalize_canonical_url(url: str) -> str:
    """Like `url`, but with the host in canonical form (`dclm.text.hosts`) and without default port and fragment."""
    return normalize_url(canonical_url(url.strip()).partition("#")[0])


def normalize_whitespace_and_lowercase(text: str) -> str:
    """The value in lower case, without whitespace at both ends (only there, as in DCLM's core_utils)."""
    return text.strip().lower()


def normalize_ccnet(text: str) -> str:
    """The value in lower case, with digits replaced by 0, without Unicode punctuation, control characters and accents.

    Source: `ccnet_dedup_normalizer` in DCLM's core_utils, which also transliterates to ASCII (unidecode); here accents
    are removed by Unicode decomposition, as in CCNet itself, and other scripts are unchanged.
    """
    text = _DIGIT.sub("0", text.strip().lower())
    text = _CONTROL.sub("", _PUNCTUATION.sub("", text))
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


NORMALIZERS: Mapping[Normalizer, Callable[[str], str]] = {
    "url": normalize_url,
    "canonical_url": normalize_canonical_url,
    "whitespace_and_lowercase": normalize_whitespace_and_lowercase,
    "ccnet": normalize_ccnet,
}


def normalize_column(values: pa.StringArray, normalizer: Normalizer) -> pa.StringArray:
    """Every value normalized; nulls stay."""
    function = NORMALIZERS[normalizer]
    if normalizer != "whitespace_and_lowercase":
        return pa.array([None if v is None else function(v) for v in values.to_pylist()], pa.string())
    plain = pc.string_is_ascii(values)
    short_way = pc.ascii_lower(pc.ascii_trim(values, characters=_ASCII_SPACE))
    others = [function(v) for v in values.filter(pc.invert(plain)).to_pylist() if v is not None]
    return replaced(short_way, filled(pc.invert(plain), False), pa.array(others, pa.string()))
