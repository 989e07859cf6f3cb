"""Invisible characters that mislead models: zero-width spaces, soft hyphens, directional marks."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import replaced

_IGNORABLE = (
    r"\x{AD}\x{34F}\x{61C}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{3164}\x{FE00}-\x{FE0F}\x{FEFF}\x{FFA0}\x{FFF0}-\x{FFFB}\x{1BCA0}-\x{1BCA3}"
    r"\x{1D173}-\x{1D17A}\x{E0000}-\x{E0FFF}"
)
"""Unicode's Default_Ignorable_Code_Point without the joiners U+200C and U+200D, which Persian and Indic words need."""
_INVISIBLE = f"[{_IGNORABLE}]+"
_JOINED = r"([\x{0}-\x{2FF}\x{370}-\x{52F}])[\x{200C}\x{200D}]+"  # Latin, Greek and Cyrillic have no use for joiners
_ANY = rf"[{_IGNORABLE}\x{{200C}}\x{{200D}}]"


def without_invisible(text: pa.StringArray) -> pa.StringArray:
    """The texts without invisible characters; joiners stay in scripts that need them."""
    affected = pc.match_substring_regex(text, _ANY)
    if not pc.any(affected, min_count=0).as_py():
        return text
    shortened = pc.replace_substring_regex(text.filter(affected), _INVISIBLE, "")
    return replaced(text, affected, pc.replace_substring_regex(shortened, _JOINED, r"\1"))
