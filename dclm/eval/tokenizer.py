"""A tokenizer with the properties that prompts and answers need, read from a `tokenizer.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import tokenizers

from dclm.core.errors import DataError

Ids = tuple[int, ...]
_NEOX_END = "<|endoftext|>"


class Tokenizer:
    """Converts text to ids and back.

    Special tokens (for example, a leading beginning-of-text) are added only on request, and by the file's own
    post-processor.
    """

    def __init__(self, path: Path) -> None:
        """Raises: DataError if `path` is not a tokenizer.json, or names no end-of-text token."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises a plain Exception for every defect of the file
            raise DataError(str(path), f"not a tokenizer.json: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        settings = _settings(path)
        self.clean_up = settings.clean_up
        found = self._tokenizer.token_to_id(settings.end)
        if found is None:
            what = f"no end-of-text token {settings.end!r}"
            raise DataError(str(path), what, "name it in tokenizer_config.json: eos_token")
        self.end_id: int = found
        start = self._tokenizer.token_to_id(settings.start)
        self.start: str = settings.end if start is None else settings.start
        """The token that begins a text: beginning-of-text if the tokenizer has one, else end-of-text."""
        self.start_id: int = found if start is None else start
        self.vocab_size: int = self._tokenizer.get_vocab_size()

    def encode(self, text: str, special: bool = False) -> Ids:
        """Ids of one text."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=special).ids)

    def encode_all(self, texts: Sequence[str], special: bool = False) -> list[Ids]:
        """Ids of many texts; each distinct text is tokenized once."""
        distinct = list(dict.fromkeys(texts))
        ids = self._tokenizer.encode_batch_fast(distinct, add_special_tokens=special)
        known = {text: tuple(found.ids) for text, found in zip(distinct, ids, strict=True)}
        return [known[text] for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, without special tokens; with the reference's clean-up of spaces if it applies."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return clean_up_spaces(text) if self.clean_up else text

    def prefix_space(self) -> bool:
        """Whether a scored answer gets a leading space: if " a" is a single token."""
        return len(self.encode(" a")) == 1


def clean_up_spaces(text: str) -> str:
    """Remove the space before punctuation and contractions.

    Source: `clean_up_tokenization` of transformers, on by default in the version that the reference pins.
    """
    for mark in (".", "?", "!", ","):
        text = text.replace(f" {mark}", mark)
    text = text.replace(" ' ", "'")
    for ending in ("n't", "'m", "'s", "'ve", "'re"):
        text = text.replace(f" {ending}", ending)
    return text


class _Settings(NamedTuple):
    start: str
    end: str
    clean_up: bool
    """Whether decoding cleans up spaces."""


def _settings(path: Path) -> _Settings:
    """The settings in the neighboring tokenizer_config.json; if none exists, those of GPT-NeoX's tokenizer."""
    beside = path.with_name("tokenizer_config.json")
    if not beside.is_file():
        return _Settings(_NEOX_END, _NEOX_END, True)
    settings = json.loads(beside.read_text(encoding="utf-8"))
    end = _token(settings.get("eos_token")) or _NEOX_END
    start = _token(settings.get("bos_token")) or end
    return _Settings(start, end, bool(settings.get("clean_up_tokenization_spaces", False)))


def _token(setting: object) -> str | None:
    """The text of a token, which may be given with its properties."""
    found = setting.get("content") if isinstance(setting, dict) else setting
    return found if isinstance(found, str) else None
