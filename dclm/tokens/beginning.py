"""The token that begins a text (BOS): where tokenizers add it, and a tokenizer.json that matches training.

A tokenizer's post-processor determines what precedes a text. Rows of tokens follow that, or the user's choice, and the
copy in the artifact is changed if it would differ: any reader (evaluation, an export, another tool) then treats a
prompt as training treated a document.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from tokenizers import Tokenizer

from dclm.core.errors import ConfigError

_BEGINNING_OF_TEXT = ("<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>")
_PROBE = "a b"


class Beginning(NamedTuple):
    """A token that precedes each document."""

    token: str
    id: int


class Around(NamedTuple):
    """The tokens that a post-processor puts around a text."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def around(tokenizer: Tokenizer) -> Around:
    """The tokens that the tokenizer's own post-processor puts before and after a text."""
    plain = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    full = tokenizer.encode(_PROBE, add_special_tokens=True).ids
    start = next((i for i in range(len(full) - len(plain) + 1) if full[i : i + len(plain)] == plain), None)
    if start is None:
        return Around(tuple(full), ())
    return Around(tuple(full[:start]), tuple(full[start + len(plain) :]))


def choose_beginning(name: str, tokenizer: Tokenizer, wanted: bool | None) -> Beginning | None:
    """The token before each document; None: none.

    wanted: whether there must be one; None: if the tokenizer's post-processor adds one.
    Raises: ConfigError if it adds several, or one is wanted and the vocabulary contains no known one.
    """
    if wanted is False:
        return None
    before = around(tokenizer).before
    if len(before) > 1:
        what = f"its post-processor puts {len(before)} tokens before a text, allowed: one"
        raise ConfigError(name, what, "pass --no-bos to train without them")
    if before:
        return Beginning(str(tokenizer.id_to_token(before[0])), before[0])
    if wanted is None:
        return None
    for token in _BEGINNING_OF_TEXT:
        found = tokenizer.token_to_id(token)
        if found is not None:
            return Beginning(token, int(found))
    what = f"found no token that begins a text, known: {' '.join(_BEGINNING_OF_TEXT)}"
    raise ConfigError(name, what, "pass --no-bos, or a tokenizer whose post-processor adds one")


def agreeing(data: bytes, tokenizer: Tokenizer, beginning: Beginning | None) -> bytes:
    """A tokenizer.json whose post-processor adds the same token before a text as training does, and nothing after it.

    data: content of the file. It is returned unchanged if it already does this.
    """
    found = around(tokenizer)
    if found == Around(() if beginning is None else (beginning.id,), ()):
        return data
    settings = json.loads(data)
    settings["post_processor"] = None if beginning is None else _template(beginning)
    changed = json.dumps(settings, ensure_ascii=False).encode()
    assert around(Tokenizer.from_str(changed.decode())) == Around((beginning.id,) if beginning else (), ())
    return changed


def _template(beginning: Beginning) -> dict[str, object]:
    token = {"SpecialToken": {"id": beginning.token, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    special = {"id": beginning.token, "ids": [beginning.id], "tokens": [beginning.token]}
    return {
        "type": "TemplateProcessing",
        "single": [token, first],
        "pair": [token, first, second],
        "special_tokens": {beginning.token: special},
    }
